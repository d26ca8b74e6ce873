#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/memory.h"
#include "sinks/object.h"

/* A directory as a place: an unfinished file begins with a dot, is written part by part, and gets
 * its name by rename within the same folder. Each part is on the disk before it counts as stored: a
 * failed write or fsync is repeated with the bytes still at hand, and never with what the kernel
 * may have dropped from its cache after it reported the error. */

#define PART_BYTES ((size_t)4 << 20)
#define FILE_MODE  0644
#define DIR_MODE   0755

static const struct option directory_options[] = {
	{ "path", OPTION_TEXT, offsetof(struct object_settings, path), NULL, 0, 0, NULL,
	  OPTION_REQUIRED | OPTION_TEMPLATE,
	  "The directory, and the folders in it: ${table} ${stream} ${region} ${account}, "
	  "${yyyy} ${MM} ${dd} ${HH} ${mm} of the roll's start in UTC, and what events say (${op}, "
	  "${schema}, ${attribute:PATH}, ${event:yyyy}): docs/delivery.md.",
	  NULL },
	OBJECT_OPTIONS,
	{ 0 },
};

/* --- files --- */

static bool failed(struct error *err, const char *what, const char *path)
{
	int number = errno;
	enum error_kind kind = ERROR_RETRY;
	const char *hint = "";

	if (number == EACCES || number == EPERM || number == EROFS) {
		kind = ERROR_REFUSED;
		hint = "; give this process the right to write there";
	} else if (number == ENOSPC || number == EDQUOT) {
		hint = "; make room there, nothing is lost meanwhile";
	} else if (number == ENAMETOOLONG || number == ENOTDIR || number == EISDIR) {
		kind = ERROR_INVALID;
		hint = "; look at the sink's path";
	}
	return error_set(err, kind, "cannot %s %s: %s%s", what, path, strerror(number), hint);
}

/* The folder of a path, with its last '/'. */
static char *folder_of(const char *path)
{
	return memory_text_n(path, (size_t)(strrchr(path, '/') + 1 - path));
}

static bool folder_sync(const char *folder, struct error *err)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* A file system that cannot sync folders says so, and keeps their names otherwise. */
	bool ok = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP);

	if (!ok)
		failed(err, "write the folder", folder);
	if (fd >= 0)
		close(fd);
	return ok;
}

/* Makes `folder` (ends with '/') and what is missing above it; a new folder's name is on the disk
 * before anything is put into it. */
static bool folder_make(char *folder, struct error *err)
{
	char *slash;

	for (slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		char *parent;
		bool ok;

		*slash = '\0';
		if (mkdir(folder, DIR_MODE) == 0) {
			parent = folder_of(folder);
			ok = folder_sync(parent, err);
			free(parent);
			if (!ok) /* the next attempt makes it again, and syncs it */
				(void)rmdir(folder);
		} else {
			ok = errno == EEXIST || failed(err, "make the folder", folder);
		}
		*slash = '/';
		if (!ok)
			return false;
	}
	return true;
}

static bool file_create(const char *path, struct error *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, FILE_MODE);

	if (fd < 0)
		return failed(err, "create", path);
	close(fd);
	return true;
}

static bool write_all(int fd, struct str body, off_t offset)
{
	while (body.n > 0) {
		ssize_t n = pwrite(fd, body.p, body.n, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		body.p += n;
		body.n -= (size_t)n;
		offset += n;
	}
	return fdatasync(fd) == 0;
}

static bool removed(struct error *err, const char *path)
{
	return error_set(err, ERROR_NOT_FOUND,
			 "%s was removed or changed while it was being written; leave files that "
			 "begin with a dot alone",
			 path);
}

static bool file_write(const char *path, struct str body, off_t offset, struct error *err)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return errno == ENOENT ? removed(err, path) : failed(err, "open", path);
	ok = write_all(fd, body, offset) || failed(err, "write", path);
	close(fd);
	return ok;
}

/* -1 and no error: there is none. */
static bool file_size(const char *path, int64_t *size, struct error *err)
{
	struct stat st;

	*size = -1;
	if (stat(path, &st) == 0)
		*size = st.st_size;
	else if (errno != ENOENT)
		return failed(err, "look at", path);
	return true;
}

/* --- the place --- */

static void directory_create(struct place *p, struct roll_file *f, place_done_fn *done, void *arg)
{
	char *folder = folder_of(f->path);
	size_t length = strlen(f->path) + 2;
	char *pending = memory_new(length);
	struct error err = { 0 };

	(void)p;
	snprintf(pending, length, "%s.%s", folder, f->path + strlen(folder));
	if (folder_make(folder, &err) && file_create(pending, &err))
		f->pending = MOVE(pending);
	free(pending);
	free(folder);
	done(arg, &err);
}

static void directory_part(struct place *p, struct roll_file *f, int number, struct str body,
			   place_done_fn *done, void *arg)
{
	struct error err = { 0 };

	(void)p;
	(void)file_write(f->pending, body, (off_t)(number - 1) * (off_t)PART_BYTES, &err);
	done(arg, &err);
}

static void directory_seal(struct place *p, struct roll_file *f, place_done_fn *done, void *arg)
{
	char *folder = folder_of(f->path);
	struct error err = { 0 };
	int64_t size;

	(void)p;
	if (file_size(f->pending, &size, &err)) {
		if (size != (int64_t)f->bytes)
			removed(&err, f->pending);
		else
			(void)folder_sync(folder, &err);
	}
	free(folder);
	done(arg, &err);
}

static bool is_there(const char *path, int64_t size, const struct roll_file *f, struct error *err)
{
	if (size == (int64_t)f->bytes)
		return true;
	return error_set(err, ERROR_INVALID,
			 "%s has %lld bytes and was written with %llu: the file was changed; its "
			 "%llu records are only in there",
			 path, (long long)size, (unsigned long long)f->bytes,
			 (unsigned long long)f->records);
}

static bool file_finish(const struct roll_file *f, struct error *err)
{
	int64_t pending, final;

	if (!file_size(f->pending, &pending, err) || !file_size(f->path, &final, err))
		return false;
	if (pending >= 0) {
		if (!is_there(f->pending, pending, f, err))
			return false;
		return rename(f->pending, f->path) == 0 || failed(err, "rename", f->pending);
	}
	if (final >= 0)
		return is_there(f->path, final, f, err);
	return error_set(
		err, ERROR_NOT_FOUND,
		"lost?: neither %s nor its unfinished form is there; its %llu records are "
		"saved as delivered. Is the right directory mounted? Was the file moved or "
		"deleted?",
		f->path, (unsigned long long)f->records);
}

static void directory_commit(struct place *p, const struct roll *r, const struct roll_file *f,
			     place_done_fn *done, void *arg)
{
	char *folder = folder_of(f->path);
	struct error err = { 0 };

	(void)p;
	(void)r;
	/* Also where the rename is an earlier one: it need not be on the disk yet. */
	if (file_finish(f, &err))
		(void)folder_sync(folder, &err);
	free(folder);
	done(arg, &err);
}

static void directory_drop(struct place *p, const struct roll_file *f, place_done_fn *done,
			   void *arg)
{
	struct error err = { 0 };

	(void)p;
	if (unlink(f->pending) != 0 && errno != ENOENT)
		failed(&err, "remove", f->pending);
	done(arg, &err);
}

static bool file_put(const char *path, const char *pending, struct str body, struct error *err)
{
	if (!file_create(pending, err) || !file_write(pending, body, 0, err))
		return false;
	return rename(pending, path) == 0 || failed(err, "rename", pending);
}

static void directory_put(struct place *p, const char *path, const char *pending,
			  const char *content_type, struct str body, place_done_fn *done, void *arg)
{
	char *folder = folder_of(path);
	struct error err = { 0 };

	(void)p;
	(void)content_type;
	if (folder_make(folder, &err) && file_put(path, pending, body, &err))
		(void)folder_sync(folder, &err);
	free(folder);
	done(arg, &err);
}

static void directory_close(struct place *p)
{
	free(p->name);
	free(p->prefix);
	free(p);
}

/* What stands before a configured path: rolls are written down with absolute paths, so that they
 * can be finished from anywhere on this machine. */
static char *directory_prefix(const char *path, struct error *err)
{
	char *cwd, *out;
	size_t length;

	if (path[0] == '/')
		return memory_text("");
	cwd = getcwd(NULL, 0);
	if (!cwd) {
		failed(err, "find", "the working directory");
		return NULL;
	}
	length = strlen(cwd) + 2;
	out = memory_new(length);
	snprintf(out, length, "%s/", cwd);
	free(cwd);
	return out;
}

static struct place *directory_place_open(const void *settings, const struct sink_host *host,
					  struct loop *loop, struct error *err)
{
	const struct object_settings *o = settings;
	char *prefix = directory_prefix(o->path, err);
	struct place *p;

	(void)host;
	(void)loop;
	if (!prefix)
		return NULL;
	p = memory_new(sizeof(*p));
	p->name = memory_text("");
	p->prefix = prefix;
	return p;
}

static const struct place_ops place_directory = {
	.kind = "directory",
	.part_bytes = PART_BYTES,
	.calls_max = 1,
	.open = directory_place_open,
	.close = directory_close,
	.create = directory_create,
	.part = directory_part,
	.seal = directory_seal,
	.commit = directory_commit,
	.drop = directory_drop,
	.put = directory_put,
};

/* --- the sink --- */

static char *directory_base(const struct object_settings *o, struct error *err)
{
	char *prefix = directory_prefix(o->path, err), *out;

	if (!prefix)
		return NULL;
	out = object_folder(prefix, o->path);
	free(prefix);
	return out;
}

static struct sink *directory_open(const void *settings, const struct sink_host *host,
				   struct error *err)
{
	return object_open(&place_directory, settings, host, err);
}

static bool directory_bury(const void *settings, const struct sink_host *host, struct str blob,
			   bool *committed, struct error *err)
{
	return object_bury(&place_directory, settings, host, blob, committed, err);
}

static bool directory_control(const void *settings, const struct sink_host *host,
			      const struct sink_control *events, size_t count,
			      const _Atomic bool *stop, size_t *told, struct error *err)
{
	return object_control(&place_directory, settings, host, events, count, stop, told, err);
}

static bool directory_letters(const void *settings, const struct sink_host *host,
			      const struct sink_letters *batch, const _Atomic bool *stop,
			      size_t *sent, size_t *refused, struct error *err)
{
	return object_letters(&place_directory, settings, host, batch, stop, sent, refused, err);
}

static bool directory_again(const void *settings, const struct sink_host *host,
			    const struct sink_again *batch, const _Atomic bool *stop, size_t *sent,
			    size_t *refused, struct error *err)
{
	return object_again(&place_directory, settings, host, batch, stop, sent, refused, err);
}

static bool sweep_entry(const FTSENT *entry, const char *session, struct error *err)
{
	if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR) {
		errno = entry->fts_errno;
		return failed(err, "look into", entry->fts_path);
	}
	if (entry->fts_info == FTS_D || entry->fts_info == FTS_DP || entry->fts_name[0] != '.' ||
	    !object_name_of(entry->fts_name + 1, session))
		return true;
	return unlink(entry->fts_accpath) == 0 || errno == ENOENT ||
	       failed(err, "remove", entry->fts_path);
}

static bool sweep_tree(char *base, const char *session, struct error *err)
{
	char *roots[] = { base, NULL };
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOSTAT | FTS_NOCHDIR, NULL);
	bool ok = true;

	if (!tree)
		return failed(err, "look into", base);
	while (ok) {
		const FTSENT *entry = fts_read(tree);

		if (!entry)
			break;
		ok = sweep_entry(entry, session, err);
	}
	fts_close(tree);
	return ok;
}

static bool directory_sweep(const void *settings, const struct sink_host *host, const char *session,
			    struct error *err)
{
	char *base = directory_base(settings, err);
	int64_t size;
	bool ok;

	if (!base)
		return error_wrap(err, "sink %s", host->name);
	/* Nothing was ever written: there is no directory. */
	ok = file_size(base, &size, err) && (size < 0 || sweep_tree(base, session, err));
	free(base);
	return ok || error_wrap(err, "sink %s", host->name);
}

static bool check_write(char *base, const char *session, struct error *err)
{
	size_t length = strlen(base) + strlen(session) + sizeof(".check-");
	char *probe = memory_new(length);
	bool ok;

	snprintf(probe, length, "%s.check-%s", base, session);
	ok = folder_make(base, err) && file_create(probe, err) &&
	     file_write(probe, STR("sluice\n"), 0, err);
	(void)unlink(probe);
	free(probe);
	return ok;
}

static bool directory_check(const void *settings, const struct sink_host *host, struct buf *said,
			    struct error *err)
{
	char *base = directory_base(settings, err);
	struct statvfs fs;
	bool ok;

	if (!base)
		return error_wrap(err, "sink %s", host->name);
	ok = check_write(base, host->session, err) || error_wrap(err, "sink %s", host->name);
	if (ok) {
		buf_printf(said, "directory %s: writable", base);
		if (statvfs(base, &fs) == 0)
			buf_printf(said, ", %llu MiB free",
				   (unsigned long long)fs.f_bavail * fs.f_frsize >> 20);
	}
	free(base);
	return ok;
}

static bool directory_validate(const void *settings, struct error *err)
{
	const struct object_settings *o = settings;

	if (o->path[0] == '\0')
		return error_set(err, ERROR_INVALID, "path: must not be empty; give a directory");
	return object_validate(settings, err);
}

const struct sink_ops sink_directory = {
	.config = { "directory", directory_options, sizeof(struct object_settings),
		    directory_validate, object_letters_validate },
	.commit = object_commit,
	.encoding = object_encoding,
	.open = directory_open,
	.route = object_route,
	.write = object_write,
	.prepare = object_prepare,
	.finish = object_finish,
	.bury = directory_bury,
	.sweep = directory_sweep,
	.tells = object_tells,
	.control = directory_control,
	.letters = directory_letters,
	.place = object_place,
	.again = directory_again,
	.purge = object_purge,
	.check = directory_check,
	.trouble = object_trouble,
	.close = object_close,
};
