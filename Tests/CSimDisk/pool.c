#include "CSimDisk.h"

#include <sqlite3.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

// SQLite's memory in a process that simulates: worlds come and go, and prepare and forget the same statements by the
// thousand. Blocks of a size go back into a list of their thread and come out again; nothing goes back to the system.

#define SMALL_MAX 1024     // In steps of 16 up to here, then four steps to each doubling.
#define CLASSES (SMALL_MAX / 16 + 4 * 12)
#define SLAB (1 << 20)

typedef struct block {
    size_t class;  // Or the size, where it is larger than all classes. 8 bytes: SQLite asks for no more alignment.
    struct block *next;  // In the list of free ones; where the memory begins, else.
} block;

#define HEADER offsetof(block, next)

static _Thread_local block *lists[CLASSES];
static _Thread_local unsigned char *slab;
static _Thread_local size_t left;

static int class_of(size_t size) {
    if (size <= 16) return 0;
    if (size <= SMALL_MAX) return (int)((size + 15) / 16) - 1;
    int doubling = 63 - __builtin_clzl(size - 1);  // 2^doubling < size <= 2^(doubling + 1)
    size_t step = (size_t)1 << (doubling - 2);
    return SMALL_MAX / 16 + (doubling - 10) * 4 + (int)((size - 1 - ((size_t)1 << doubling)) / step);
}

static size_t size_of(int class) {
    if (class < SMALL_MAX / 16) return (size_t)(class + 1) * 16;
    int doubling = (class - SMALL_MAX / 16) / 4 + 10, step = (class - SMALL_MAX / 16) % 4;
    return ((size_t)1 << doubling) + ((size_t)(step + 1) << (doubling - 2));
}

static void *pool_malloc(int size) {
    int class = class_of((size_t)size);
    if (class >= CLASSES) {
        block *large = malloc(HEADER + (size_t)size);
        if (!large) return NULL;
        large->class = (size_t)size;
        return (unsigned char *)large + HEADER;
    }
    block *found = lists[class];
    if (found) {
        lists[class] = found->next;
        return (unsigned char *)found + HEADER;
    }
    size_t need = HEADER + size_of(class);
    if (need > left) {
        size_t fresh = need > SLAB ? need : SLAB;
        unsigned char *made = malloc(fresh);
        if (!made) return NULL;
        slab = made;
        left = fresh;
    }
    found = (block *)slab;
    slab += need;
    left -= need;
    found->class = (size_t)class;
    return (unsigned char *)found + HEADER;
}

static block *block_of(void *memory) { return (block *)((unsigned char *)memory - HEADER); }

static int pool_size(void *memory) {
    size_t class = block_of(memory)->class;
    return (int)(class < CLASSES ? size_of((int)class) : class);
}

static void pool_free(void *memory) {
    block *freed = block_of(memory);
    if (freed->class >= CLASSES) return free(freed);
    freed->next = lists[freed->class];
    lists[freed->class] = freed;
}

static void *pool_realloc(void *memory, int size) {
    int had = pool_size(memory);
    if (size <= had && size >= had / 2) return memory;
    void *moved = pool_malloc(size);
    if (!moved) return NULL;
    memcpy(moved, memory, (size_t)(size < had ? size : had));
    pool_free(memory);
    return moved;
}

static int pool_roundup(int size) {
    int class = class_of((size_t)size);
    return class < CLASSES ? (int)size_of(class) : (size + 7) & ~7;
}

static int pool_begin(void *context) {
    (void)context;
    return SQLITE_OK;
}
static void pool_end(void *context) { (void)context; }

int simdisk_pool_memory(void) {
    static const sqlite3_mem_methods methods = {
        pool_malloc, pool_free, pool_realloc, pool_size, pool_roundup, pool_begin, pool_end, NULL};
    int result = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    return result == SQLITE_OK ? sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) : result;
}
