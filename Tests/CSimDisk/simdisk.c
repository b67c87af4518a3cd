#include "CSimDisk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// One change of a file since its last sync, with what it replaced. A truncation has no new bytes.
typedef struct change {
    struct change *next;  // The newest first.
    sqlite3_int64 offset;
    sqlite3_int64 size_before;
    int count, count_before;
    int is_truncation;
    unsigned char bytes[];  // New bytes, then old ones.
} change;

typedef struct node {
    struct node *next;
    char *path;
    change *changes;
} node;

struct simdisk {
    struct simdisk *next;
    char *prefix;
    size_t prefix_length;
    node *nodes;
    int handles, is_stopped, is_lying;
    int kinds, how, sticky;
    uint64_t nth, count, failed;
    char suffix[32];
    uint64_t totals[7];
};

typedef struct file {
    sqlite3_file base;
    simdisk *disk;
    node *node;  // NULL for temporary files.
    sqlite3_file *real;
} file;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static simdisk *disks;
static sqlite3_vfs *machine;
static sqlite3_vfs ours;

// Faults

static int is_about(simdisk *disk, const char *path) {
    size_t have = path ? strlen(path) : 0, want = strlen(disk->suffix);
    return have >= want && strcmp((path ? path : "") + have - want, disk->suffix) == 0;
}

// How the operation fails, or 0. The lock is held.
static int fault(simdisk *disk, int kind, const char *path) {
    for (int bit = 0; bit < 7; bit++)
        if (kind == 1 << bit) disk->totals[bit]++;
    if (disk->is_stopped) return SIMDISK_STOP;
    if (!(disk->kinds & kind) || !is_about(disk, path)) return 0;
    disk->count++;
    if (disk->count < disk->nth || (disk->count > disk->nth && !disk->sticky)) return 0;
    disk->failed++;
    if (disk->how == SIMDISK_STOP) disk->is_stopped = 1;
    return disk->how;
}

// Memory of what is not synced

static void forget(node *node) {
    while (node->changes) {
        change *old = node->changes;
        node->changes = old->next;
        free(old);
    }
}

static node *find(simdisk *disk, const char *path) {
    for (node *n = disk->nodes; n; n = n->next)
        if (strcmp(n->path, path) == 0) return n;
    node *made = calloc(1, sizeof *made);
    if (!made) return NULL;
    made->path = strdup(path);
    if (!made->path) {
        free(made);
        return NULL;
    }
    made->next = disk->nodes;
    disk->nodes = made;
    return made;
}

// Remembers `count` bytes about to be written at `offset`, or a truncation to `offset`. 0 where memory is short.
static int remember(file *f, const void *bytes, int count, sqlite3_int64 offset, int is_truncation) {
    sqlite3_int64 size = 0;
    if (!f->node || f->real->pMethods->xFileSize(f->real, &size) != SQLITE_OK) return f->node == NULL;
    sqlite3_int64 end = is_truncation ? size : offset + count;
    sqlite3_int64 old = (end < size ? end : size) - offset;
    if (old < 0) old = 0;
    change *c = malloc(sizeof *c + (size_t)count + (size_t)old);
    if (!c) return 0;
    *c = (change){f->node->changes, offset, size, count, (int)old, is_truncation};
    if (count) memcpy(c->bytes, bytes, (size_t)count);
    if (old && f->real->pMethods->xRead(f->real, c->bytes + count, (int)old, offset) != SQLITE_OK) {
        free(c);
        return 0;
    }
    f->node->changes = c;
    return 1;
}

// A file's methods

static int close_file(sqlite3_file *base) {
    file *f = (file *)base;
    int result = f->real->pMethods ? f->real->pMethods->xClose(f->real) : SQLITE_OK;
    pthread_mutex_lock(&lock);
    if (f->disk) f->disk->handles--;
    pthread_mutex_unlock(&lock);
    return result;
}

static int read_file(sqlite3_file *base, void *bytes, int count, sqlite3_int64 offset) {
    file *f = (file *)base;
    if (f->disk) {
        pthread_mutex_lock(&lock);
        // A machine that has stopped still answers reads: whoever reads cannot do anything with it.
        int how = f->disk->is_stopped ? 0 : fault(f->disk, SIMDISK_READ, f->node ? f->node->path : NULL);
        pthread_mutex_unlock(&lock);
        if (how) return SQLITE_IOERR_READ;
    }
    return f->real->pMethods->xRead(f->real, bytes, count, offset);
}

static int write_file(sqlite3_file *base, const void *bytes, int count, sqlite3_int64 offset) {
    file *f = (file *)base;
    if (!f->disk) return f->real->pMethods->xWrite(f->real, bytes, count, offset);
    pthread_mutex_lock(&lock);
    int how = fault(f->disk, SIMDISK_WRITE, f->node ? f->node->path : NULL);
    int result = SQLITE_OK;
    if (how == SIMDISK_EIO || how == SIMDISK_STOP) result = SQLITE_IOERR_WRITE;
    if (how == SIMDISK_ENOSPC) result = SQLITE_FULL;
    if (how == SIMDISK_SHORT) count /= 2;
    if (result == SQLITE_OK && count > 0) {
        if (!remember(f, bytes, count, offset, 0)) result = SQLITE_IOERR_NOMEM;
        else result = f->real->pMethods->xWrite(f->real, bytes, count, offset);
    }
    if (how == SIMDISK_SHORT && result == SQLITE_OK) result = SQLITE_FULL;
    pthread_mutex_unlock(&lock);
    return result;
}

static int truncate_file(sqlite3_file *base, sqlite3_int64 size) {
    file *f = (file *)base;
    if (!f->disk) return f->real->pMethods->xTruncate(f->real, size);
    pthread_mutex_lock(&lock);
    int result = SQLITE_OK;
    if (fault(f->disk, SIMDISK_TRUNCATE, f->node ? f->node->path : NULL)) result = SQLITE_IOERR_TRUNCATE;
    else if (!remember(f, NULL, 0, size, 1)) result = SQLITE_IOERR_NOMEM;
    else result = f->real->pMethods->xTruncate(f->real, size);
    pthread_mutex_unlock(&lock);
    return result;
}

static int sync_file(sqlite3_file *base, int flags) {
    file *f = (file *)base;
    if (!f->disk) return f->real->pMethods->xSync(f->real, flags);
    pthread_mutex_lock(&lock);
    int how = fault(f->disk, SIMDISK_SYNC, f->node ? f->node->path : NULL);
    if (!how && f->node && !f->disk->is_lying) forget(f->node);
    pthread_mutex_unlock(&lock);
    return how ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

static int size_file(sqlite3_file *base, sqlite3_int64 *size) {
    file *f = (file *)base;
    return f->real->pMethods->xFileSize(f->real, size);
}
static int lock_file(sqlite3_file *base, int level) {
    file *f = (file *)base;
    return f->real->pMethods->xLock(f->real, level);
}
static int unlock_file(sqlite3_file *base, int level) {
    file *f = (file *)base;
    return f->real->pMethods->xUnlock(f->real, level);
}
static int check_lock(sqlite3_file *base, int *result) {
    file *f = (file *)base;
    return f->real->pMethods->xCheckReservedLock(f->real, result);
}
static int control_file(sqlite3_file *base, int operation, void *argument) {
    file *f = (file *)base;
    // A hint that would write to the file behind our back.
    if (f->disk && (operation == SQLITE_FCNTL_SIZE_HINT || operation == SQLITE_FCNTL_CHUNK_SIZE)) return SQLITE_OK;
    return f->real->pMethods->xFileControl(f->real, operation, argument);
}
static int sector_size(sqlite3_file *base) {
    file *f = (file *)base;
    return f->real->pMethods->xSectorSize(f->real);
}
static int characteristics(sqlite3_file *base) {
    file *f = (file *)base;
    return f->real->pMethods->xDeviceCharacteristics(f->real);
}
static int map_shared(sqlite3_file *base, int page, int size, int extend, void volatile **map) {
    file *f = (file *)base;
    if (f->disk) {
        pthread_mutex_lock(&lock);
        int how = f->disk->is_stopped ? 0 : fault(f->disk, SIMDISK_SHM, f->node ? f->node->path : NULL);
        pthread_mutex_unlock(&lock);
        if (how) return SQLITE_IOERR_SHMMAP;
    }
    return f->real->pMethods->xShmMap(f->real, page, size, extend, map);
}
static int lock_shared(sqlite3_file *base, int offset, int count, int flags) {
    file *f = (file *)base;
    return f->real->pMethods->xShmLock(f->real, offset, count, flags);
}
static void barrier(sqlite3_file *base) {
    file *f = (file *)base;
    f->real->pMethods->xShmBarrier(f->real);
}
static int unmap_shared(sqlite3_file *base, int delete) {
    file *f = (file *)base;
    return f->real->pMethods->xShmUnmap(f->real, delete);
}

// No mapped reads or writes (version 3), so that everything passes by here.
static const sqlite3_io_methods methods = {
    2, close_file, read_file, write_file, truncate_file, sync_file, size_file, lock_file, unlock_file, check_lock,
    control_file, sector_size, characteristics, map_shared, lock_shared, barrier, unmap_shared, NULL, NULL};

// The VFS's methods

static simdisk *disk_of(const char *path) {
    if (!path) return NULL;
    for (simdisk *d = disks; d; d = d->next)
        if (strncmp(path, d->prefix, d->prefix_length) == 0) return d;
    return NULL;
}

static int open_file(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags, int *out) {
    (void)vfs;
    file *f = (file *)base;
    memset(f, 0, sizeof *f);
    f->real = (sqlite3_file *)(f + 1);
    pthread_mutex_lock(&lock);
    f->disk = disk_of(path);
    if (f->disk) {
        int how = fault(f->disk, SIMDISK_OPEN, path);
        if (!how) f->node = find(f->disk, path);
        if (how || !f->node) {
            pthread_mutex_unlock(&lock);
            return SQLITE_CANTOPEN;
        }
        f->disk->handles++;
    }
    pthread_mutex_unlock(&lock);
    int result = machine->xOpen(machine, path, f->real, flags, out);
    if (result != SQLITE_OK && f->disk) {
        pthread_mutex_lock(&lock);
        f->disk->handles--;
        pthread_mutex_unlock(&lock);
    }
    if (result == SQLITE_OK) base->pMethods = &methods;
    return result;
}

static int delete_file(sqlite3_vfs *vfs, const char *path, int sync) {
    (void)vfs;
    pthread_mutex_lock(&lock);
    simdisk *disk = disk_of(path);
    int how = disk ? fault(disk, SIMDISK_DELETE, path) : 0;
    if (disk && !how) {
        node *n = find(disk, path);
        if (n) forget(n);
    }
    pthread_mutex_unlock(&lock);
    return how ? SQLITE_IOERR_DELETE : machine->xDelete(machine, path, disk ? 0 : sync);
}

static int access_file(sqlite3_vfs *vfs, const char *path, int flags, int *result) {
    (void)vfs;
    return machine->xAccess(machine, path, flags, result);
}
static int full_path(sqlite3_vfs *vfs, const char *path, int count, char *out) {
    (void)vfs;
    return machine->xFullPathname(machine, path, count, out);
}

// What SQLite seeds its generator with. Guarded by `lock`.
static uint64_t random_seed;
static int has_random_seed;

static int random_bytes(sqlite3_vfs *vfs, int count, char *out) {
    (void)vfs;
    pthread_mutex_lock(&lock);
    int is_seeded = has_random_seed;
    uint64_t state = random_seed;
    pthread_mutex_unlock(&lock);
    if (!is_seeded) return machine->xRandomness(machine, count, out);
    for (int i = 0; i < count; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        out[i] = (char)(state >> 56);
    }
    return count;
}

void simdisk_seed_random(uint64_t seed) {
    pthread_mutex_lock(&lock);
    random_seed = seed;
    has_random_seed = 1;
    pthread_mutex_unlock(&lock);
    // Forgets the generator's state, so that the next number asks for a seed.
    sqlite3_randomness(0, NULL);
}

int simdisk_install(void) {
    pthread_mutex_lock(&lock);
    int result = SQLITE_OK;
    if (!machine) {
        result = sqlite3_initialize();
        machine = result == SQLITE_OK ? sqlite3_vfs_find(NULL) : NULL;
        if (machine) {
            ours = *machine;
            ours.szOsFile = (int)sizeof(file) + machine->szOsFile;
            ours.zName = "simdisk";
            ours.pNext = NULL;
            ours.xOpen = open_file;
            ours.xDelete = delete_file;
            ours.xAccess = access_file;
            ours.xFullPathname = full_path;
            ours.xRandomness = random_bytes;
            result = sqlite3_vfs_register(&ours, 1);
        }
    }
    pthread_mutex_unlock(&lock);
    return machine ? result : SQLITE_ERROR;
}

// Disks

simdisk *simdisk_mount(const char *prefix) {
    simdisk *disk = calloc(1, sizeof *disk);
    if (!disk) return NULL;
    disk->prefix = strdup(prefix);
    if (!disk->prefix) {
        free(disk);
        return NULL;
    }
    disk->prefix_length = strlen(prefix);
    pthread_mutex_lock(&lock);
    disk->next = disks;
    disks = disk;
    pthread_mutex_unlock(&lock);
    return disk;
}

void simdisk_unmount(simdisk *disk) {
    pthread_mutex_lock(&lock);
    for (simdisk **at = &disks; *at; at = &(*at)->next)
        if (*at == disk) {
            *at = disk->next;
            break;
        }
    pthread_mutex_unlock(&lock);
    while (disk->nodes) {
        node *n = disk->nodes;
        disk->nodes = n->next;
        forget(n);
        free(n->path);
        free(n);
    }
    free(disk->prefix);
    free(disk);
}

void simdisk_arm(simdisk *disk, int kinds, uint64_t nth, int how, int sticky, const char *suffix) {
    pthread_mutex_lock(&lock);
    disk->kinds = kinds;
    disk->nth = nth;
    disk->how = how;
    disk->sticky = sticky;
    disk->count = disk->failed = 0;
    disk->suffix[0] = 0;
    if (suffix && strlen(suffix) < sizeof disk->suffix) strcpy(disk->suffix, suffix);
    pthread_mutex_unlock(&lock);
}

void simdisk_disarm(simdisk *disk) {
    pthread_mutex_lock(&lock);
    disk->kinds = 0;
    pthread_mutex_unlock(&lock);
}

static uint64_t guarded(const uint64_t *value) {
    pthread_mutex_lock(&lock);
    uint64_t result = *value;
    pthread_mutex_unlock(&lock);
    return result;
}

uint64_t simdisk_count(simdisk *disk) { return guarded(&disk->count); }
uint64_t simdisk_failed(simdisk *disk) { return guarded(&disk->failed); }
uint64_t simdisk_total(simdisk *disk, int kind) {
    for (int bit = 0; bit < 7; bit++)
        if (kind == 1 << bit) return guarded(&disk->totals[bit]);
    return 0;
}

void simdisk_set_lying(simdisk *disk, int is_lying) {
    pthread_mutex_lock(&lock);
    disk->is_lying = is_lying;
    pthread_mutex_unlock(&lock);
}

void simdisk_stop(simdisk *disk) {
    pthread_mutex_lock(&lock);
    disk->is_stopped = 1;
    pthread_mutex_unlock(&lock);
}

int simdisk_is_stopped(simdisk *disk) {
    pthread_mutex_lock(&lock);
    int result = disk->is_stopped;
    pthread_mutex_unlock(&lock);
    return result;
}

int simdisk_handles(simdisk *disk) {
    pthread_mutex_lock(&lock);
    int result = disk->handles;
    pthread_mutex_unlock(&lock);
    return result;
}

// Loss of power

static uint64_t draw(uint64_t *state) {
    *state += 0x9E3779B97F4A7C15u;
    uint64_t mixed = *state;
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBu;
    return mixed ^ (mixed >> 31);
}

static int put(int descriptor, const unsigned char *bytes, int count, sqlite3_int64 offset) {
    while (count > 0) {
        ssize_t written = pwrite(descriptor, bytes, (size_t)count, offset);
        if (written <= 0) return 0;
        bytes += written;
        count -= (int)written;
        offset += written;
    }
    return 1;
}

// Brings the file back to its last sync, then does again a part of what followed. Returns what was lost, or -1.
static int64_t tear(node *node, uint64_t seed) {
    int64_t lost = 0, total = 0;
    for (change *c = node->changes; c; c = c->next) total++;
    if (total == 0) return 0;
    int descriptor = open(node->path, O_RDWR | O_CLOEXEC);
    if (descriptor < 0) return errno == ENOENT ? total : -1;
    change **order = malloc(sizeof(change *) * (size_t)total);
    int64_t n = total;
    int ok = order != NULL;
    for (change *c = node->changes; ok && c; c = c->next) {
        order[--n] = c;
        ok = ftruncate(descriptor, c->size_before) == 0
            && put(descriptor, c->bytes + c->count, c->count_before, c->offset);
    }
    uint64_t state = seed;
    for (const char *p = node->path; *p; p++) state = state * 31 + (unsigned char)*p;
    // Three kinds of disk: one that loses all, one that keeps a prefix, one that keeps anything in any order.
    uint64_t kind = draw(&state) % 3, keep = draw(&state) % (uint64_t)(total + 1);
    for (int64_t i = total - 1; ok && kind == 2 && i > 0; i--) {
        int64_t j = (int64_t)(draw(&state) % (uint64_t)(i + 1));
        change *swapped = order[i];
        order[i] = order[j];
        order[j] = swapped;
    }
    for (int64_t i = 0; ok && i < total; i++) {
        change *c = order[i];
        int is_kept = kind == 0 ? 0 : kind == 1 ? (uint64_t)i < keep : draw(&state) % 2 == 0;
        int count = c->count;
        if (!is_kept && (kind == 0 || draw(&state) % 4 || c->is_truncation)) count = -1;
        else if (!is_kept) count = (int)(draw(&state) % (uint64_t)(count + 1));  // Torn.
        if (count < c->count) lost++;
        if (count < 0) continue;
        ok = c->is_truncation ? ftruncate(descriptor, c->offset) == 0 : put(descriptor, c->bytes, count, c->offset);
    }
    free(order);
    close(descriptor);
    return ok ? lost : -1;
}

int64_t simdisk_start(simdisk *disk, uint64_t seed) {
    int64_t lost = 0;
    pthread_mutex_lock(&lock);
    for (node *n = disk->nodes; n; n = n->next) {
        int64_t here = seed ? tear(n, seed) : 0;
        lost = here < 0 || lost < 0 ? -1 : lost + here;
        // After a mere kill the unsynced is still unsynced: a later loss of power may take it.
        if (seed) forget(n);
        // The shared index does not survive the machine, and is made anew after a kill.
        size_t length = strlen(n->path);
        char *index = length > 4 && strcmp(n->path + length - 4, "-wal") == 0 ? strdup(n->path) : NULL;
        if (index) {
            memcpy(index + length - 4, "-shm", 4);
            unlink(index);
            free(index);
        }
    }
    disk->is_stopped = 0;
    disk->kinds = 0;
    pthread_mutex_unlock(&lock);
    return lost;
}
