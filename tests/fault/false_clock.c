/* A wall clock that can be set while the daemon runs: preloaded, it adds the seconds that a shared file holds (one
 * double, written in place) to what the wall clock says. Nothing else is touched: not the monotonic clock, not
 * sleeping, not the times of files. (libfaketime 0.9.10 breaks clock_nanosleep on an absolute time, Python's sleep.) */
#define _GNU_SOURCE
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile double *offset;

__attribute__((constructor)) static void map_offset(void) {
  const char *name = getenv("MDS_EDGE_TEST_CLOCK");
  int file = name == NULL ? -1 : open(name, O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  void *page = mmap(NULL, sizeof(double), PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (page != MAP_FAILED) offset = page;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int status = (int)syscall(SYS_clock_gettime, clock, now);
  if (status == 0 && offset != NULL && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    double whole = floor(*offset);
    now->tv_sec += (time_t)whole;
    now->tv_nsec += (long)((*offset - whole) * 1e9);
    if (now->tv_nsec >= 1000000000L) { now->tv_nsec -= 1000000000L; now->tv_sec += 1; }
  }
  return status;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  (void)zone;
  struct timespec exact;
  if (clock_gettime(CLOCK_REALTIME, &exact) != 0) return -1;
  now->tv_sec = exact.tv_sec;
  now->tv_usec = exact.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *result) {
  struct timespec exact;
  clock_gettime(CLOCK_REALTIME, &exact);
  if (result != NULL) *result = exact.tv_sec;
  return exact.tv_sec;
}
