#include "config/machine.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_SIZE 4096

/* A limit read from one folder of a cgroup tree; false where it has none. */
typedef bool limit_fn(const char *folder, double *out);

static bool file_read(const char *folder, const char *file, char *out, size_t size)
{
	char path[PATH_SIZE + 64];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	f = fopen(path, "re");
	if (!f)
		return false;
	n = fread(out, 1, size - 1, f);
	fclose(f);
	out[n] = '\0';
	return n > 0;
}

static bool number_read(const char *folder, const char *file, double *out)
{
	char text[64], *end;

	if (!file_read(folder, file, text, sizeof(text)))
		return false;
	*out = strtod(text, &end);
	return end != text && *out > 0;
}

static bool cpu_v2(const char *folder, double *out)
{
	char text[64];
	double quota, period;

	/* "max 100000" where there is no limit. */
	if (!file_read(folder, "cpu.max", text, sizeof(text)) ||
	    sscanf(text, "%lf %lf", &quota, &period) != 2 || quota <= 0 || period <= 0)
		return false;
	*out = quota / period;
	return true;
}

static bool cpu_v1(const char *folder, double *out)
{
	double quota, period;

	if (!number_read(folder, "cpu.cfs_quota_us", &quota) ||
	    !number_read(folder, "cpu.cfs_period_us", &period))
		return false;
	*out = quota / period;
	return true;
}

static bool memory_v2(const char *folder, double *out)
{
	return number_read(folder, "memory.max", out);
}

static bool memory_v1(const char *folder, double *out)
{
	return number_read(folder, "memory.limit_in_bytes", out);
}

/* From the process's own folder up to the mount: a limit above holds as well. In a container the
 * path is often the host's and not there, the mount itself is. */
static double tightest(const char *mount, const char *cgroup, limit_fn *limit, double most)
{
	char folder[PATH_SIZE];
	size_t mounted = strlen(mount);
	double found;

	snprintf(folder, sizeof(folder), "%s%s", mount, cgroup);
	for (;;) {
		char *slash;

		if (limit(folder, &found) && found < most)
			most = found;
		slash = strrchr(folder, '/');
		if (!slash || (size_t)(slash - folder) < mounted)
			return most;
		*slash = '\0';
	}
}

static bool lists(const char *controllers, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = controllers; *p; p += strcspn(p, ","), p += *p == ',')
		if (!strncmp(p, name, n) && (p[n] == ',' || !p[n]))
			return true;
	return false;
}

/* Lines of /proc/self/cgroup: "0::/path" in version 2, "4:cpu,cpuacct:/path" in version 1. */
static double cgroup_limit(const char *root, const char *controller, limit_fn *v2, limit_fn *v1,
			   double most)
{
	char path[PATH_SIZE], line[PATH_SIZE], mount[PATH_SIZE];
	FILE *f;

	snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
	f = fopen(path, "re");
	if (!f)
		return most;
	while (fgets(line, sizeof(line), f)) {
		char *controllers = strchr(line, ':');
		char *cgroup = controllers ? strchr(controllers + 1, ':') : NULL;

		if (!cgroup)
			continue;
		*cgroup++ = '\0';
		cgroup[strcspn(cgroup, "\n")] = '\0';
		controllers++;
		if (!*controllers) {
			snprintf(mount, sizeof(mount), "%.3000s/sys/fs/cgroup", root);
			most = tightest(mount, cgroup, v2, most);
		} else if (lists(controllers, controller)) {
			snprintf(mount, sizeof(mount), "%.3000s/sys/fs/cgroup/%s", root,
				 controller);
			most = tightest(mount, cgroup, v1, most);
		}
	}
	fclose(f);
	return most;
}

long machine_cpus(const char *root)
{
	cpu_set_t set;
	double most = (double)sysconf(_SC_NPROCESSORS_ONLN);
	long whole;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		most = CPU_COUNT(&set);
	most = cgroup_limit(root, "cpu", cpu_v2, cpu_v1, most);
	whole = (long)most;
	if ((double)whole < most)
		whole++;
	return whole > 0 ? whole : 1;
}

int64_t machine_memory_bytes(const char *root)
{
	double ram = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGE_SIZE);

	return (int64_t)cgroup_limit(root, "memory", memory_v2, memory_v1, ram);
}
