#include "CSimDisk.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
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

#define SHARED_SLOTS 8
#define SHARED_REGIONS 64

typedef struct node {
    struct node *next;
    char *path;
    change *changes;
    // What follows is used on disks in memory only.
    unsigned char *bytes;
    sqlite3_int64 size, capacity;
    int exists;
    ino_t inode;  // Of the empty file in its stead: a file that was moved, or made anew, is known by it.
    int readers;  // Files with a lock, of any level.
    struct file *writer;  // The one above SHARED.
    unsigned char *regions[SHARED_REGIONS];  // The shared index.
    int mapped;  // Files that have it.
    int slots[SHARED_SLOTS];  // Readers of each of its locks, or -1 for one writer.
} node;

struct simdisk {
    struct simdisk *next;
    char *prefix;
    size_t prefix_length;
    node *nodes;
    int handles, is_stopped, is_lying, in_memory;
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
    int level, is_mapped;  // In memory: SQLite's lock, and whether the shared index is in use.
    unsigned reading, writing;  // In memory: slots of the shared index that are held.
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

// Disks in memory

static int write_bytes(node *n, const void *bytes, int count, sqlite3_int64 offset) {
    sqlite3_int64 end = offset + count;
    if (end > n->capacity) {
        sqlite3_int64 capacity = n->capacity ? n->capacity : 65536;
        while (capacity < end) capacity *= 2;
        unsigned char *grown = realloc(n->bytes, (size_t)capacity);
        if (!grown) return 0;
        n->bytes = grown;
        n->capacity = capacity;
    }
    if (offset > n->size) memset(n->bytes + n->size, 0, (size_t)(offset - n->size));
    if (count) memcpy(n->bytes + offset, bytes, (size_t)count);
    if (end > n->size) n->size = end;
    return 1;
}

static int truncate_bytes(node *n, sqlite3_int64 size) {
    if (size > n->size) return write_bytes(n, NULL, 0, size) && (n->size = size, 1);
    n->size = size;
    return 1;
}

static void unmap_regions(node *n) {
    for (int i = 0; i < SHARED_REGIONS; i++) {
        free(n->regions[i]);
        n->regions[i] = NULL;
    }
}

// Remembers `count` bytes about to be written at `offset`, or a truncation to `offset`. 0 where memory is short.
static int remember(file *f, const void *bytes, int count, sqlite3_int64 offset, int is_truncation) {
    if (!f->node) return 1;
    sqlite3_int64 size = f->node->size;
    int in_memory = f->disk->in_memory;
    if (!in_memory && f->real->pMethods->xFileSize(f->real, &size) != SQLITE_OK) return 0;
    sqlite3_int64 end = is_truncation ? size : offset + count;
    sqlite3_int64 old = (end < size ? end : size) - offset;
    if (old < 0) old = 0;
    change *c = malloc(sizeof *c + (size_t)count + (size_t)old);
    if (!c) return 0;
    *c = (change){f->node->changes, offset, size, count, (int)old, is_truncation};
    if (count) memcpy(c->bytes, bytes, (size_t)count);
    if (old && in_memory) memcpy(c->bytes + count, f->node->bytes + offset, (size_t)old);
    else if (old && f->real->pMethods->xRead(f->real, c->bytes + count, (int)old, offset) != SQLITE_OK) {
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

// A file's methods on a disk in memory. The lock is taken in each, as for others.

static int memory_lock(sqlite3_file *base, int level) {
    file *f = (file *)base;
    node *n = f->node;
    int result = SQLITE_OK;
    pthread_mutex_lock(&lock);
    if (f->level < level) {
        int is_alone = !n->writer || n->writer == f;
        if (level == SQLITE_LOCK_SHARED) {
            if (n->writer && n->writer->level >= SQLITE_LOCK_PENDING) result = SQLITE_BUSY;
            else n->readers++;
        } else if (!is_alone) {
            result = SQLITE_BUSY;
        } else {
            n->writer = f;
            if (level == SQLITE_LOCK_EXCLUSIVE && n->readers > 1) {
                f->level = SQLITE_LOCK_PENDING;
                result = SQLITE_BUSY;
            }
        }
        if (result == SQLITE_OK) f->level = level;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

static int memory_unlock(sqlite3_file *base, int level) {
    file *f = (file *)base;
    pthread_mutex_lock(&lock);
    if (f->level > level) {
        if (f->node->writer == f && level <= SQLITE_LOCK_SHARED) f->node->writer = NULL;
        if (level == SQLITE_LOCK_NONE) f->node->readers--;
        f->level = level;
    }
    pthread_mutex_unlock(&lock);
    return SQLITE_OK;
}

static int memory_check_lock(sqlite3_file *base, int *result) {
    file *f = (file *)base;
    pthread_mutex_lock(&lock);
    *result = f->node->writer != NULL;
    pthread_mutex_unlock(&lock);
    return SQLITE_OK;
}

static int memory_read(sqlite3_file *base, void *bytes, int count, sqlite3_int64 offset) {
    file *f = (file *)base;
    int result = SQLITE_OK;
    pthread_mutex_lock(&lock);
    int how = f->disk->is_stopped ? 0 : fault(f->disk, SIMDISK_READ, f->node->path);
    if (how) {
        result = SQLITE_IOERR_READ;
    } else {
        sqlite3_int64 have = f->node->size - offset;
        if (have > count) have = count;
        if (have < 0) have = 0;
        if (have) memcpy(bytes, f->node->bytes + offset, (size_t)have);
        if (have < count) {
            memset((char *)bytes + have, 0, (size_t)(count - have));
            result = SQLITE_IOERR_SHORT_READ;
        }
    }
    pthread_mutex_unlock(&lock);
    return result;
}

static int memory_write(sqlite3_file *base, const void *bytes, int count, sqlite3_int64 offset) {
    file *f = (file *)base;
    pthread_mutex_lock(&lock);
    int how = fault(f->disk, SIMDISK_WRITE, f->node->path);
    int result = SQLITE_OK;
    if (how == SIMDISK_EIO || how == SIMDISK_STOP) result = SQLITE_IOERR_WRITE;
    if (how == SIMDISK_ENOSPC) result = SQLITE_FULL;
    if (how == SIMDISK_SHORT) count /= 2;
    if (result == SQLITE_OK && count > 0
        && !(remember(f, bytes, count, offset, 0) && write_bytes(f->node, bytes, count, offset)))
        result = SQLITE_IOERR_NOMEM;
    if (how == SIMDISK_SHORT && result == SQLITE_OK) result = SQLITE_FULL;
    pthread_mutex_unlock(&lock);
    return result;
}

static int memory_truncate(sqlite3_file *base, sqlite3_int64 size) {
    file *f = (file *)base;
    pthread_mutex_lock(&lock);
    int result = SQLITE_OK;
    if (fault(f->disk, SIMDISK_TRUNCATE, f->node->path)) result = SQLITE_IOERR_TRUNCATE;
    else if (!(remember(f, NULL, 0, size, 1) && truncate_bytes(f->node, size))) result = SQLITE_IOERR_NOMEM;
    pthread_mutex_unlock(&lock);
    return result;
}

static int memory_size(sqlite3_file *base, sqlite3_int64 *size) {
    file *f = (file *)base;
    pthread_mutex_lock(&lock);
    *size = f->node->size;
    pthread_mutex_unlock(&lock);
    return SQLITE_OK;
}

static int memory_control(sqlite3_file *base, int operation, void *argument) {
    (void)base;
    (void)argument;
    return operation == SQLITE_FCNTL_SIZE_HINT || operation == SQLITE_FCNTL_CHUNK_SIZE ? SQLITE_OK : SQLITE_NOTFOUND;
}

// As the machine's own VFS says on Linux.
static int memory_sector_size(sqlite3_file *base) {
    (void)base;
    return 4096;
}
static int memory_characteristics(sqlite3_file *base) {
    (void)base;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static int memory_map(sqlite3_file *base, int region, int size, int extend, void volatile **map) {
    file *f = (file *)base;
    int result = SQLITE_OK;
    *map = NULL;
    pthread_mutex_lock(&lock);
    if (!f->disk->is_stopped && fault(f->disk, SIMDISK_SHM, f->node->path)) {
        result = SQLITE_IOERR_SHMMAP;
    } else if (region >= SHARED_REGIONS) {
        result = SQLITE_IOERR_NOMEM;
    } else {
        if (!f->is_mapped) f->node->mapped++;
        f->is_mapped = 1;
        if (!f->node->regions[region] && extend) {
            f->node->regions[region] = calloc(1, (size_t)size);
            if (!f->node->regions[region]) result = SQLITE_IOERR_NOMEM;
        }
        *map = f->node->regions[region];
    }
    pthread_mutex_unlock(&lock);
    return result;
}

static int memory_lock_shared(sqlite3_file *base, int offset, int count, int flags) {
    file *f = (file *)base;
    int *slots = f->node->slots;
    unsigned mask = ((1u << count) - 1) << offset;
    int result = SQLITE_OK;
    pthread_mutex_lock(&lock);
    if (flags & SQLITE_SHM_UNLOCK) {
        for (int i = offset; i < offset + count; i++) {
            if (f->writing & 1u << i) slots[i] = 0;
            else if (f->reading & 1u << i) slots[i]--;
        }
        f->writing &= ~mask;
        f->reading &= ~mask;
    } else if (flags & SQLITE_SHM_SHARED) {
        if (!(f->reading & mask)) {
            if (slots[offset] < 0) {
                result = SQLITE_BUSY;
            } else {
                slots[offset]++;
                f->reading |= mask;
            }
        }
    } else {
        for (int i = offset; i < offset + count; i++)
            if (slots[i] != 0 && !(f->writing & 1u << i)) result = SQLITE_BUSY;
        for (int i = offset; result == SQLITE_OK && i < offset + count; i++) slots[i] = -1;
        if (result == SQLITE_OK) f->writing |= mask;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

static void memory_barrier(sqlite3_file *base) {
    (void)base;
    pthread_mutex_lock(&lock);
    pthread_mutex_unlock(&lock);
}

// The index is gone with its last user, as after the machine's own VFS: who comes next makes it anew from the log.
static int memory_unmap(sqlite3_file *base, int delete) {
    (void)delete;
    file *f = (file *)base;
    memory_lock_shared(base, 0, SHARED_SLOTS, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
    pthread_mutex_lock(&lock);
    if (f->is_mapped && --f->node->mapped == 0) unmap_regions(f->node);
    f->is_mapped = 0;
    pthread_mutex_unlock(&lock);
    return SQLITE_OK;
}

static int memory_close(sqlite3_file *base) {
    file *f = (file *)base;
    memory_unmap(base, 0);
    memory_unlock(base, SQLITE_LOCK_NONE);
    pthread_mutex_lock(&lock);
    f->disk->handles--;
    pthread_mutex_unlock(&lock);
    return SQLITE_OK;
}

static const sqlite3_io_methods memory_methods = {
    2, memory_close, memory_read, memory_write, memory_truncate, sync_file, memory_size, memory_lock, memory_unlock,
    memory_check_lock, memory_control, memory_sector_size, memory_characteristics, memory_map, memory_lock_shared,
    memory_barrier, memory_unmap, NULL, NULL};

// The VFS's methods

// Programs move and delete files without SQLite: what was done to the empty file is done to its bytes.
static void recognise(simdisk *disk, node *n) {
    struct stat found;
    if (stat(n->path, &found) != 0 || found.st_ino == n->inode) return;
    if (n->inode) {
        forget(n);
        n->exists = 0;
        n->size = 0;
    }
    n->inode = found.st_ino;
    for (node *m = disk->nodes; m && !n->exists; m = m->next) {
        if (m == n || !m->exists || m->inode != n->inode) continue;
        free(n->bytes);
        n->bytes = m->bytes;
        n->size = m->size;
        n->capacity = m->capacity;
        n->changes = m->changes;
        n->exists = 1;
        m->bytes = NULL;
        m->size = m->capacity = 0;
        m->changes = NULL;
        m->exists = 0;
        m->inode = 0;
    }
}

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
        if (f->disk->in_memory) recognise(f->disk, f->node);
        if (f->disk->in_memory && !f->node->exists) {
            if (!(flags & SQLITE_OPEN_CREATE)) {
                pthread_mutex_unlock(&lock);
                return SQLITE_CANTOPEN;
            }
            f->node->exists = 1;
        }
        f->disk->handles++;
        if (f->disk->in_memory) {
            if (out) *out = flags;
            base->pMethods = &memory_methods;
            pthread_mutex_unlock(&lock);
            return SQLITE_OK;
        }
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
        if (n) {
            forget(n);
            n->exists = 0;
            n->size = 0;
        }
    }
    int in_memory = disk && disk->in_memory;
    pthread_mutex_unlock(&lock);
    if (in_memory && !how) return SQLITE_OK;
    return how ? SQLITE_IOERR_DELETE : machine->xDelete(machine, path, disk ? 0 : sync);
}

static int access_file(sqlite3_vfs *vfs, const char *path, int flags, int *result) {
    (void)vfs;
    pthread_mutex_lock(&lock);
    simdisk *disk = disk_of(path);
    node *n = disk && disk->in_memory ? find(disk, path) : NULL;
    // As the machine's own VFS: an empty file counts as none.
    if (n) *result = n->exists && (flags != SQLITE_ACCESS_EXISTS || n->size > 0);
    pthread_mutex_unlock(&lock);
    if (n) return SQLITE_OK;
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

simdisk *simdisk_mount(const char *prefix, int in_memory) {
    // Worlds come and go by the thousand: their memory is kept, instead of going back to the system and coming again.
    if (in_memory) {
        mallopt(M_TRIM_THRESHOLD, 1 << 30);
        mallopt(M_MMAP_THRESHOLD, 1 << 30);
    }
    simdisk *disk = calloc(1, sizeof *disk);
    if (!disk) return NULL;
    disk->prefix = strdup(prefix);
    if (!disk->prefix) {
        free(disk);
        return NULL;
    }
    disk->prefix_length = strlen(prefix);
    disk->in_memory = in_memory;
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
        unmap_regions(n);
        free(n->bytes);
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

static int put(node *node, int descriptor, const unsigned char *bytes, int count, sqlite3_int64 offset) {
    if (descriptor < 0) return write_bytes(node, bytes, count, offset);
    while (count > 0) {
        ssize_t written = pwrite(descriptor, bytes, (size_t)count, offset);
        if (written <= 0) return 0;
        bytes += written;
        count -= (int)written;
        offset += written;
    }
    return 1;
}

static int cut(node *node, int descriptor, sqlite3_int64 size) {
    return descriptor < 0 ? truncate_bytes(node, size) : ftruncate(descriptor, size) == 0;
}

// Brings the file back to its last sync, then does again a part of what followed. Returns what was lost, or -1.
static int64_t tear(node *node, size_t prefix_length, int in_memory, uint64_t seed) {
    int64_t lost = 0, total = 0;
    for (change *c = node->changes; c; c = c->next) total++;
    if (total == 0) return 0;
    int descriptor = in_memory ? -1 : open(node->path, O_RDWR | O_CLOEXEC);
    if (!in_memory && descriptor < 0) return errno == ENOENT ? total : -1;
    change **order = malloc(sizeof(change *) * (size_t)total);
    int64_t n = total;
    int ok = order != NULL;
    for (change *c = node->changes; ok && c; c = c->next) {
        order[--n] = c;
        ok = cut(node, descriptor, c->size_before)
            && put(node, descriptor, c->bytes + c->count, c->count_before, c->offset);
    }
    uint64_t state = seed;
    // The file's name within the disk: equal runs lose the same, wherever the disk is.
    for (const char *p = node->path + prefix_length; *p; p++) state = state * 31 + (unsigned char)*p;
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
        ok = c->is_truncation ? cut(node, descriptor, c->offset) : put(node, descriptor, c->bytes, count, c->offset);
    }
    free(order);
    if (descriptor >= 0) close(descriptor);
    return ok ? lost : -1;
}

int64_t simdisk_start(simdisk *disk, uint64_t seed) {
    int64_t lost = 0;
    pthread_mutex_lock(&lock);
    for (node *n = disk->nodes; n; n = n->next) {
        int64_t here = seed ? tear(n, disk->prefix_length, disk->in_memory, seed) : 0;
        lost = here < 0 || lost < 0 ? -1 : lost + here;
        // After a mere kill the unsynced is still unsynced: a later loss of power may take it.
        if (seed) forget(n);
        // The shared index does not survive the machine, and is made anew after a kill.
        size_t length = strlen(n->path);
        unmap_regions(n);
        char *index = !disk->in_memory && length > 4 && strcmp(n->path + length - 4, "-wal") == 0 ? strdup(n->path) : NULL;
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

// What is on a disk in memory

int simdisk_put(simdisk *disk, const char *path, const unsigned char *bytes, int64_t count) {
    int ok = 0;
    pthread_mutex_lock(&lock);
    node *n = find(disk, path);
    if (n && count <= INT32_MAX) {
        forget(n);
        n->size = 0;
        n->exists = 1;
        n->inode = 0;
        ok = write_bytes(n, bytes, (int)count, 0);
    }
    pthread_mutex_unlock(&lock);
    return ok;
}

void simdisk_clear(simdisk *disk) {
    pthread_mutex_lock(&lock);
    for (node *n = disk->nodes; n; n = n->next) {
        forget(n);
        n->exists = 0;
        n->size = 0;
        n->inode = 0;
    }
    pthread_mutex_unlock(&lock);
}

int simdisk_list(simdisk *disk, void *context, void (*body)(void *, const char *, const unsigned char *, int64_t)) {
    int count = 0;
    pthread_mutex_lock(&lock);
    for (node *n = disk->nodes; n; n = n->next) {
        if (!n->exists) continue;
        count++;
        body(context, n->path, n->bytes, n->size);
    }
    pthread_mutex_unlock(&lock);
    return count;
}
