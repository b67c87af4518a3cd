// A disk that can lose power and fail, under SQLite: a VFS over the machine's own, for files below one path.
//
// What is written goes to the real file at once; beside it the disk remembers everything since the last sync of
// each file. A loss of power takes back what was not synced, or keeps a part of it, torn and out of order. Syncs do
// not reach the machine's disk, so that simulations are quick. A disk in memory has no real files at all: SQLite's
// locks and shared index are this code's own then, and only this process sees them.
//
// Files outside any mounted path pass through untouched. All calls may come from any thread.
#ifndef CSIMDISK_H
#define CSIMDISK_H

#include <stdint.h>

typedef struct simdisk simdisk;

// What an operation does to a file. Bits, to be added up.
enum {
    SIMDISK_WRITE = 1,
    SIMDISK_SYNC = 2,
    SIMDISK_OPEN = 4,
    SIMDISK_TRUNCATE = 8,
    SIMDISK_DELETE = 16,
    SIMDISK_READ = 32,
    SIMDISK_SHM = 64,
};

// How an operation fails.
enum {
    // The device reports an error; nothing is done.
    SIMDISK_EIO = 1,
    // No space is left; nothing is done. (Reads, syncs and deletes fail with EIO instead.)
    SIMDISK_ENOSPC = 2,
    // A write stops half-way, as a full disk would; other operations fail with EIO.
    SIMDISK_SHORT = 3,
    // The machine stops here: this and all further operations have no effect and report an error.
    SIMDISK_STOP = 4,
};

// From now on SQLite's own random numbers, of the whole process, follow from `seed`.
void simdisk_seed_random(uint64_t seed);

// Makes the VFS SQLite's default, once for the process. Connections that are open keep their own.
// Returns SQLite's result code.
int simdisk_install(void);

// A disk for all files whose path starts with `prefix`, which must be absolute and free of symbolic links.
// With `in_memory` not 0, what SQLite opens there is kept in memory. NULL where memory is short.
simdisk *simdisk_mount(const char *prefix, int in_memory);

// Forgets the disk. No file of it may be open.
void simdisk_unmount(simdisk *disk);

// From now on the operations in `kinds` count; the `nth` (1, 2, ...) fails in the manner `how`, and all later ones
// too where `sticky` is not 0. `suffix` limits it to files whose names end so ("-wal"); NULL for all.
void simdisk_arm(simdisk *disk, int kinds, uint64_t nth, int how, int sticky, const char *suffix);

// No more faults. Counts stay until the next arming.
void simdisk_disarm(simdisk *disk);

// Operations of the armed kinds since then, and how many of them failed.
uint64_t simdisk_count(simdisk *disk);
uint64_t simdisk_failed(simdisk *disk);

// Operations of one kind (a single bit) since the disk was mounted.
uint64_t simdisk_total(simdisk *disk, int kind);

// A disk that lies answers syncs as if they were done, and forgets nothing of what a loss of power can take.
void simdisk_set_lying(simdisk *disk, int is_lying);

// The machine stops now: open handles can be closed, but nothing that they do has an effect any more.
void simdisk_stop(simdisk *disk);
int simdisk_is_stopped(simdisk *disk);

// The machine starts again. All handles must be closed. With `seed` 0 only the process died: everything that was
// written is there. Otherwise power was lost: of what each file had not synced, a part is there that `seed` chooses,
// in any order, torn at any byte.
// Returns the number of writes that were lost or torn; -1 where a file could not be mended.
int64_t simdisk_start(simdisk *disk, uint64_t seed);

// For disks in memory, with no file open: makes a file of these bytes, 0 where memory is short; takes all files away;
// calls `body` with each file's path and bytes, which it must not keep, and returns how many there were.
int simdisk_put(simdisk *disk, const char *path, const unsigned char *bytes, int64_t count);
void simdisk_clear(simdisk *disk);
int simdisk_list(simdisk *disk, void *context, void (*body)(void *, const char *, const unsigned char *, int64_t));

// SQLite takes its memory from lists of its own from now on, which never shrink: for processes that simulate and end.
// Must come before the library is first used. Returns 0, or what the library said.
int simdisk_pool_memory(void);

// Open handles of the disk.
int simdisk_handles(simdisk *disk);

#endif
