/* What a loss of power leaves of a directory: of each call that changes something, this program
 * knows whether the disk has it, as its own calls stand in front of libc's. */
#include "tests/unit/sinks/object_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/syscall.h>

#define CHANGED_MAX 64

/* Files with bytes, and folders with names, that only memory has. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static ino_t changed[CHANGED_MAX];
static size_t changed_count;
static unsigned files_fail, folders_fail, written; /* of the syncs to come; calls of pwrite */

static void changed_add(const struct stat *st)
{
	size_t i = 0;

	pthread_mutex_lock(&lock);
	while (i < changed_count && changed[i] != st->st_ino)
		i++;
	if (i == changed_count) {
		assert_true(changed_count < CHANGED_MAX);
		changed[changed_count++] = st->st_ino;
	}
	pthread_mutex_unlock(&lock);
}

static void folder_changed(const char *path)
{
	char folder[512];
	struct stat st;

	snprintf(folder, sizeof(folder), "%s", path);
	*strrchr(folder, '/') = '\0';
	if (stat(folder, &st) == 0)
		changed_add(&st);
}

static bool sync_fails(unsigned *left)
{
	bool fails;

	pthread_mutex_lock(&lock);
	fails = *left > 0;
	*left -= fails;
	pthread_mutex_unlock(&lock);
	if (fails)
		errno = EIO;
	return fails;
}

/* The disk has it now. */
static int synced(int fd, unsigned *failing)
{
	struct stat st;

	if (sync_fails(failing))
		return -1;
	assert_int_equal(fstat(fd, &st), 0);
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < changed_count; i++)
		if (changed[i] == st.st_ino) {
			changed[i] = changed[--changed_count];
			break;
		}
	pthread_mutex_unlock(&lock);
	return 0;
}

int fsync(int fd)
{
	return synced(fd, &folders_fail);
}

int fdatasync(int fd)
{
	return synced(fd, &files_fail);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t offset)
{
	struct stat st;

	if (fstat(fd, &st) == 0)
		changed_add(&st);
	written++;
	return syscall(SYS_pwrite64, fd, bytes, n, offset);
}

int mkdir(const char *path, mode_t mode)
{
	int result = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);

	if (result == 0)
		folder_changed(path);
	return result;
}

int rename(const char *from, const char *to)
{
	int result = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);

	if (result == 0)
		folder_changed(to);
	return result;
}

int open(const char *path, int flags, ...)
{
	bool made = (flags & O_CREAT) && access(path, F_OK) != 0;
	unsigned mode = 0;
	va_list ap;
	int fd;

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, unsigned);
	va_end(ap);
	fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
	if (fd >= 0 && made)
		folder_changed(path);
	return fd;
}

static size_t only_in_memory(void)
{
	size_t count;

	pthread_mutex_lock(&lock);
	count = changed_count;
	pthread_mutex_unlock(&lock);
	return count;
}

static struct fixture fx;
static struct object_settings settings;
static char path_text[128];

static int setup(void **state)
{
	(void)state;
	fixture_init(&fx);
	snprintf(path_text, sizeof(path_text), "%s/out/${table}/hour=${HH}/", fx.root);
	settings = (struct object_settings){ .path = path_text,
					     .format = FORMAT_PLAIN,
					     .compression = COMPRESSION_NONE,
					     .roll_bytes = 128L << 20,
					     .roll_age_ms = 3600000,
					     .manifest = true };
	changed_count = 0;
	files_fail = folders_fail = written = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_release(&fx);
	return 0;
}

/* Two files, one of them of two parts. */
static void a_roll(void)
{
	struct parcel *a = parcel_of(&source_orders, 0, 9000, 700);
	struct parcel *b = parcel_of(&source_users, 0, 50, 300);
	struct error err = { 0 };
	struct sink *s = sink_directory.open(&settings, &fx.host, &err);

	if (!s)
		fail_msg("%s", err.message);
	sink_directory.write(s, &a->delivery);
	sink_directory.write(s, &b->delivery);
	expect_answer(&fx, 1, SINK_TAKEN, 1);
	sink_directory.prepare(s);
	expect_answer(&fx, 2, SINK_PREPARED, 1);
	assert_true(written >= 3);
	assert_int_equal(only_in_memory(), 0); /* what the store is about to be told of */
	sink_directory.finish(s, 1);
	expect_answer(&fx, 3, SINK_FINISHED, 1);
	assert_int_equal(only_in_memory(), 0); /* what the store is about to forget */
	sink_directory.close(s);
	parcel_free(a);
	parcel_free(b);
}

static void the_disk_has_all_before_it_counts(void **state)
{
	(void)state;
	a_roll();
}

/* The kernel may have dropped what it said that it could not write: the bytes are written again. */
static void what_could_not_be_synced_is_written_again(void **state)
{
	unsigned once;

	a_roll();
	once = written;
	teardown(state);
	setup(state);
	files_fail = 1;
	a_roll();
	assert_int_equal(files_fail, 0);
	assert_true(written > once);
}

static void a_folder_that_could_not_be_synced_is_made_again(void **state)
{
	(void)state;
	folders_fail = 2;
	a_roll();
	assert_int_equal(folders_fail, 0);
}

static void a_burial_leaves_nothing_in_memory(void **state)
{
	struct parcel *a = parcel_of(&source_orders, 0, 10, 700);
	struct error err = { 0 };
	struct sink *s = sink_directory.open(&settings, &fx.host, &err);
	bool committed = false;
	const struct noted *prepared;

	(void)state;
	assert_non_null(s);
	sink_directory.write(s, &a->delivery);
	sink_directory.prepare(s);
	prepared = answer_at(&fx, 1);
	assert_int_equal(prepared->kind, SINK_PREPARED);
	sink_directory.close(s);
	assert_true(
		sink_directory.bury(&settings, &fx.host, str_of(prepared->blob), &committed, &err));
	assert_int_equal(only_in_memory(), 0);
	parcel_free(a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_disk_has_all_before_it_counts),
		TEST(what_could_not_be_synced_is_written_again),
		TEST(a_folder_that_could_not_be_synced_is_made_again),
		TEST(a_burial_leaves_nothing_in_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
