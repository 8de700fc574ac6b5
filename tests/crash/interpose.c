/* Stands between a program and the file system (LD_PRELOAD), for the crash tests.
 *
 * Of everything that changes files below CRASH_ROOT it keeps a record in CRASH_TRACE (a line an
 * operation, in the order in which they happened; written bytes in CRASH_TRACE.data). At operation
 * number CRASH_AT it does what CRASH_DO says: "kill" before it, or an errno by number. With
 * CRASH_STICKY the errno goes on for all later operations of the kind: a disk that is full stays so.
 * What was made to fail is recorded as "failed", with the path and what it should have been.
 * What is written to standard output is recorded as "told". CRASH_PROC_STAT is read instead of
 * /proc/stat.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static const char *root;
static size_t root_length;
static int trace = -1, trace_data = -1;
static long count, at = -1;
static int fault, sticky, is_kill, is_begun;
static long long data_length;

static void die(const char *why, const char *path)
{
	dprintf(2, "interpose: %s: %s\n", why, path ? path : "?");
	_exit(97);
}

/* The program's own descriptors keep their numbers: tests count them. */
static int out_of_the_way(const char *path)
{
	int fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	int high = fcntl(fd, F_DUPFD_CLOEXEC, 900);

	if (fd < 0 || high < 0)
		die("cannot open", path);
	syscall(SYS_close, fd);
	return high;
}

__attribute__((constructor)) static void begin(void)
{
	const char *name = getenv("CRASH_TRACE"), *what = getenv("CRASH_DO"), *when = getenv("CRASH_AT");
	char data[PATH_MAX];

	root = getenv("CRASH_ROOT");
	root_length = root ? strlen(root) : 0;
	if (when)
		at = atol(when);
	if (what && !strcmp(what, "kill"))
		is_kill = 1;
	else if (what)
		fault = atoi(what);
	sticky = getenv("CRASH_STICKY") != NULL;
	if (name) {
		snprintf(data, sizeof(data), "%s.data", name);
		trace = out_of_the_way(name);
		trace_data = out_of_the_way(data);
	}
	unsetenv("LD_PRELOAD"); /* not for its children */
}

#define REAL(name) \
	static __typeof__(name) *real; \
	if (!real) \
		real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static int below(const char *path)
{
	return root && !strncmp(path, root, root_length) && (!path[root_length] || path[root_length] == '/');
}

/* The absolute path of `path` as seen from `dir`; 0 when it is not below the root. */
static int full(int dir, const char *path, char *out)
{
	char link[64];
	ssize_t n;

	if (!root)
		return 0;
	if (path[0] == '/') {
		snprintf(out, PATH_MAX, "%s", path);
	} else {
		if (dir == AT_FDCWD) {
			if (!getcwd(out, PATH_MAX))
				return 0;
		} else {
			snprintf(link, sizeof(link), "/proc/self/fd/%d", dir);
			n = readlink(link, out, PATH_MAX - 1);
			if (n < 0)
				return 0;
			out[n] = 0;
		}
		if (strlen(out) + strlen(path) + 2 > PATH_MAX)
			return 0;
		strcat(out, "/");
		strcat(out, path);
	}
	return below(out);
}

static int open_path(int fd, char *out)
{
	char link[64];
	ssize_t n;

	if (!root)
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, out, PATH_MAX - 1);
	if (n < 0)
		return 0;
	out[n] = 0;
	return below(out);
}

static unsigned long long inode_of(const char *path)
{
	struct stat st;

	return fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) ? 0 : (unsigned long long)st.st_ino;
}

static unsigned long long inode_of_fd(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : (unsigned long long)st.st_ino;
}

static void record(const char *what, const char *a, const char *b, unsigned long long inode,
		   long long offset, const void *bytes, size_t length)
{
	int kept = errno;

	if (trace >= 0) {
		dprintf(trace, "%s\t%llu\t%lld\t%lld\t%zu\t%s\t%s\n", what, inode, offset,
			bytes ? data_length : -1, length, a ? a : "", b ? b : "");
		if (bytes && length) {
			if (syscall(SYS_write, trace_data, bytes, length) != (long)length)
				die("cannot record", a);
			data_length += length;
		}
	}
	errno = kept;
}

/* Called with the lock held, before an operation: true when it is to fail, with errno set. */
static int fails(const char *what, const char *path, int takes_space)
{
	long number = count++;

	if (at < 0 || number < at)
		return 0;
	if (is_kill && number == at) {
		kill(getpid(), SIGKILL);
		for (;;)
			pause();
	}
	if (!fault || (number > at && !sticky))
		return 0;
	if ((fault == ENOSPC || fault == EDQUOT) && !takes_space)
		return 0;
	if (!is_begun)
		is_begun = 1;
	record("failed", path, what, 0, 0, NULL, 0);
	errno = fault;
	return 1;
}

#define LOCKED(expression) \
	do { \
		pthread_mutex_lock(&one_at_a_time); \
		expression; \
		pthread_mutex_unlock(&one_at_a_time); \
	} while (0)

static int do_open(int (*call)(int, const char *, int, mode_t), int dir, const char *path, int flags,
		   mode_t mode)
{
	char name[PATH_MAX];
	int fd = -1, existed;
	const char *stat_file = getenv("CRASH_PROC_STAT");

	if (stat_file && !strcmp(path, "/proc/stat"))
		return call(AT_FDCWD, stat_file, flags, mode);
	if (!full(dir, path, name) || !(flags & (O_CREAT | O_TRUNC)))
		return call(dir, path, flags, mode);
	if ((flags & O_TMPFILE) == O_TMPFILE)
		die("O_TMPFILE is not modelled", name);
	pthread_mutex_lock(&one_at_a_time);
	existed = inode_of(name) != 0;
	if (existed && !(flags & O_TRUNC)) {
		fd = call(dir, path, flags, mode);
	} else if (!fails(existed ? "truncate" : "create", name, !existed)) {
		fd = call(dir, path, flags, mode);
		if (fd >= 0)
			record(existed ? "truncate" : "create", name, NULL, inode_of_fd(fd), 0, NULL, 0);
	}
	pthread_mutex_unlock(&one_at_a_time);
	return fd;
}

static int call_openat(int dir, const char *path, int flags, mode_t mode)
{
	return syscall(SYS_openat, dir, path, flags, mode);
}

#define MODE_OF(flags) \
	mode_t mode = 0; \
	if ((flags) & (O_CREAT | O_TMPFILE)) { \
		va_list rest; \
		va_start(rest, flags); \
		mode = va_arg(rest, mode_t); \
		va_end(rest); \
	}

int open(const char *path, int flags, ...)
{
	MODE_OF(flags);
	return do_open(call_openat, AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	MODE_OF(flags);
	return do_open(call_openat, AT_FDCWD, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
	MODE_OF(flags);
	return do_open(call_openat, dir, path, flags, mode);
}

int openat64(int dir, const char *path, int flags, ...)
{
	MODE_OF(flags);
	return do_open(call_openat, dir, path, flags, mode);
}

int creat(const char *path, mode_t mode)
{
	return do_open(call_openat, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

FILE *fopen(const char *path, const char *mode)
{
	char name[PATH_MAX];
	REAL(fopen);

	if (mode[0] != 'r' && full(AT_FDCWD, path, name))
		die("fopen for writing is not modelled", name);
	return real(path, mode);
}

static ssize_t do_write(int fd, const void *bytes, size_t length, long long offset)
{
	char name[PATH_MAX];
	ssize_t done = -1;

	if (fd == 1 && root) {
		pthread_mutex_lock(&one_at_a_time);
		done = syscall(SYS_write, fd, bytes, length);
		if (done > 0)
			record("told", NULL, NULL, 0, 0, bytes, done);
		pthread_mutex_unlock(&one_at_a_time);
		return done;
	}
	if (!open_path(fd, name))
		return offset < 0 ? syscall(SYS_write, fd, bytes, length)
				  : syscall(SYS_pwrite64, fd, bytes, length, offset);
	pthread_mutex_lock(&one_at_a_time);
	if (fails("write", name, 1)) {
		/* a disk that fills up takes what still fits */
		if (errno == ENOSPC && is_begun == 1 && length > 1) {
			is_begun = 2;
			length /= 2;
		} else {
			goto out;
		}
	}
	if (offset < 0) {
		long long place = (fcntl(fd, F_GETFL) & O_APPEND) ? -1 : lseek(fd, 0, SEEK_CUR);
		struct stat st;

		if (place < 0)
			place = fstat(fd, &st) ? 0 : st.st_size;
		done = syscall(SYS_write, fd, bytes, length);
		offset = place;
	} else {
		done = syscall(SYS_pwrite64, fd, bytes, length, offset);
	}
	if (done > 0)
		record("write", name, NULL, inode_of_fd(fd), offset, bytes, done);
out:
	pthread_mutex_unlock(&one_at_a_time);
	return done;
}

ssize_t write(int fd, const void *bytes, size_t length)
{
	return do_write(fd, bytes, length, -1);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
	return do_write(fd, bytes, length, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset)
{
	return do_write(fd, bytes, length, offset);
}

ssize_t writev(int fd, const struct iovec *pieces, int many)
{
	char name[PATH_MAX];
	ssize_t sum = 0;

	if (!(fd == 1 && root) && !open_path(fd, name))
		return syscall(SYS_writev, fd, pieces, many);
	for (int i = 0; i < many; i++) {
		ssize_t done = do_write(fd, pieces[i].iov_base, pieces[i].iov_len, -1);

		if (done < 0)
			return sum ? sum : -1;
		sum += done;
		if ((size_t)done < pieces[i].iov_len)
			break;
	}
	return sum;
}

static int do_rename(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	char a[PATH_MAX], b[PATH_MAX];
	int done = -1;

	if (!full(from_dir, from, a) || !full(to_dir, to, b))
		return syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
	if (flags)
		die("renameat2 with flags is not modelled", a);
	pthread_mutex_lock(&one_at_a_time);
	unsigned long long inode = inode_of(a);
	if (!fails("rename", b, 1)) {
		int same = inode == inode_of(b);

		done = syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
		if (!done && !same)
			record("rename", a, b, inode, 0, NULL, 0);
	}
	pthread_mutex_unlock(&one_at_a_time);
	return done;
}

int rename(const char *from, const char *to)
{
	return do_rename(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	return do_rename(from_dir, from, to_dir, to, 0);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	return do_rename(from_dir, from, to_dir, to, flags);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	char a[PATH_MAX], b[PATH_MAX];
	int done = -1;

	if (!full(to_dir, to, b))
		return syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
	if (!full(from_dir, from, a))
		die("a link from outside is not modelled", b);
	LOCKED(if (!fails("link", b, 1)) {
		done = syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
		if (!done)
			record("link", a, b, inode_of(b), 0, NULL, 0);
	});
	return done;
}

int link(const char *from, const char *to)
{
	return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int dir, const char *path, int flags)
{
	char name[PATH_MAX];
	int done = -1;

	if (!full(dir, path, name))
		return syscall(SYS_unlinkat, dir, path, flags);
	LOCKED(
		if (!inode_of(name)) {
			errno = ENOENT;
		} else if (!fails(flags & AT_REMOVEDIR ? "rmdir" : "unlink", name, 0)) {
			done = syscall(SYS_unlinkat, dir, path, flags);
			if (!done)
				record(flags & AT_REMOVEDIR ? "rmdir" : "unlink", name, NULL, 0, 0, NULL, 0);
		});
	return done;
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int mkdirat(int dir, const char *path, mode_t mode)
{
	char name[PATH_MAX];
	int done = -1;

	if (!full(dir, path, name))
		return syscall(SYS_mkdirat, dir, path, mode);
	LOCKED(
		if (inode_of(name)) {
			errno = EEXIST;
		} else if (!fails("mkdir", name, 1)) {
			done = syscall(SYS_mkdirat, dir, path, mode);
			if (!done)
				record("mkdir", name, NULL, inode_of(name), 0, NULL, 0);
		});
	return done;
}

int mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}

int symlinkat(const char *target, int dir, const char *path)
{
	char name[PATH_MAX];

	if (full(dir, path, name))
		die("symlinks are not modelled", name);
	return syscall(SYS_symlinkat, target, dir, path);
}

int symlink(const char *target, const char *path)
{
	return symlinkat(target, AT_FDCWD, path);
}

static int do_ftruncate(int fd, long long length)
{
	char name[PATH_MAX];
	int done = -1;

	if (!open_path(fd, name))
		return syscall(SYS_ftruncate, fd, length);
	LOCKED(if (!fails("resize", name, 0)) {
		done = syscall(SYS_ftruncate, fd, length);
		if (!done)
			record("resize", name, NULL, inode_of_fd(fd), length, NULL, 0);
	});
	return done;
}

int ftruncate(int fd, off_t length)
{
	return do_ftruncate(fd, length);
}

int ftruncate64(int fd, off64_t length)
{
	return do_ftruncate(fd, length);
}

static int do_sync(int fd, long call)
{
	char name[PATH_MAX];
	int done = -1;

	if (!open_path(fd, name))
		return syscall(call, fd);
	LOCKED(if (!fails("sync", name, 1)) {
		/* the model keeps what a disk would; the real one need not be waited for */
		done = 0;
		record("sync", name, NULL, inode_of_fd(fd), 0, NULL, 0);
	});
	return done;
}

int fsync(int fd)
{
	return do_sync(fd, SYS_fsync);
}

int fdatasync(int fd)
{
	return do_sync(fd, SYS_fdatasync);
}

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t length, unsigned flags)
{
	char name[PATH_MAX];

	if (open_path(to, name))
		die("copy_file_range is not modelled", name);
	return syscall(SYS_copy_file_range, from, from_at, to, to_at, length, flags);
}
