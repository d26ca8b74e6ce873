#pragma once
/* Debian's librdkafka uses C11 threads, which ThreadSanitizer does not know: it would see neither
 * librdkafka's threads nor its locks. A test program that defines them over pthreads, as glibc does
 * inside, is seen. The types are glibc's: the same memory. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TEST_UNDER_TSAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(TEST_UNDER_TSAN)
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <threads.h>

static_assert(sizeof(mtx_t) >= sizeof(pthread_mutex_t), "glibc's mtx_t holds a pthread_mutex_t");
static_assert(sizeof(cnd_t) >= sizeof(pthread_cond_t), "glibc's cnd_t holds a pthread_cond_t");

static int c11_result(int failed)
{
	return failed == 0 ? thrd_success : failed == ETIMEDOUT ? thrd_timedout : thrd_error;
}

int mtx_init(mtx_t *m, int type)
{
	pthread_mutexattr_t attr;
	int failed;

	pthread_mutexattr_init(&attr);
	if (type & mtx_recursive)
		pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	failed = pthread_mutex_init((pthread_mutex_t *)m, &attr);
	pthread_mutexattr_destroy(&attr);
	return c11_result(failed);
}

void mtx_destroy(mtx_t *m)
{
	pthread_mutex_destroy((pthread_mutex_t *)m);
}

int mtx_lock(mtx_t *m)
{
	return c11_result(pthread_mutex_lock((pthread_mutex_t *)m));
}

int mtx_unlock(mtx_t *m)
{
	return c11_result(pthread_mutex_unlock((pthread_mutex_t *)m));
}

int cnd_init(cnd_t *c)
{
	return c11_result(pthread_cond_init((pthread_cond_t *)c, NULL));
}

void cnd_destroy(cnd_t *c)
{
	pthread_cond_destroy((pthread_cond_t *)c);
}

int cnd_signal(cnd_t *c)
{
	return c11_result(pthread_cond_signal((pthread_cond_t *)c));
}

int cnd_broadcast(cnd_t *c)
{
	return c11_result(pthread_cond_broadcast((pthread_cond_t *)c));
}

int cnd_wait(cnd_t *c, mtx_t *m)
{
	return c11_result(pthread_cond_wait((pthread_cond_t *)c, (pthread_mutex_t *)m));
}

int cnd_timedwait(cnd_t *c, mtx_t *m, const struct timespec *until)
{
	return c11_result(pthread_cond_timedwait((pthread_cond_t *)c, (pthread_mutex_t *)m, until));
}

/* What a thread returns is an int in C11 and a pointer for pthreads. */
struct c11_start {
	thrd_start_t function;
	void *arg;
};

static void *c11_run(void *arg)
{
	struct c11_start start = *(struct c11_start *)arg;

	free(arg);
	return (void *)(intptr_t)start.function(start.arg);
}

int thrd_create(thrd_t *thread, thrd_start_t function, void *arg)
{
	struct c11_start *start = malloc(sizeof(*start));

	assert(start);
	*start = (struct c11_start){ function, arg };
	return c11_result(pthread_create(thread, NULL, c11_run, start));
}

int thrd_join(thrd_t thread, int *result)
{
	void *returned = NULL;
	int failed = pthread_join(thread, &returned);

	if (result)
		*result = (int)(intptr_t)returned;
	return c11_result(failed);
}

thrd_t thrd_current(void)
{
	return pthread_self();
}
#endif
