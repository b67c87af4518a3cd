#define SQLITE_ENABLE_PREUPDATE_HOOK 1
#include <sqlite3.h>
#include <string.h>

#include "peyk_sqlite.h"

// Absent from some builds of SQLite; then these are null and writes are captured by triggers alone.
#pragma weak sqlite3_preupdate_hook
#pragma weak sqlite3_preupdate_old
#pragma weak sqlite3_preupdate_new

int peyk_has_row_hook(void) { return sqlite3_preupdate_hook && sqlite3_preupdate_old && sqlite3_preupdate_new; }

void peyk_watch_rows(struct sqlite3 *handle, peyk_row_callback callback, void *context) {
    if (!peyk_has_row_hook()) return;
    // The same but for the integer type's name.
    sqlite3_preupdate_hook(
        handle, (void (*)(void *, sqlite3 *, int, char const *, char const *, sqlite3_int64, sqlite3_int64))callback,
        context);
}

int peyk_old_values(struct sqlite3 *handle, struct sqlite3_value **values, int count) {
    for (int i = 0; i < count; i++) {
        int code = sqlite3_preupdate_old(handle, i, &values[i]);
        if (code != SQLITE_OK) return code;
    }
    return SQLITE_OK;
}

int peyk_new_values(struct sqlite3 *handle, struct sqlite3_value **values, int count) {
    for (int i = 0; i < count; i++) {
        int code = sqlite3_preupdate_new(handle, i, &values[i]);
        if (code != SQLITE_OK) return code;
    }
    return SQLITE_OK;
}

static int is_same(sqlite3_value *a, sqlite3_value *b) {
    int type = sqlite3_value_type(a), other = sqlite3_value_type(b);
    if (type != other) {
        // A column of type REAL may store 5.0 as 5.
        int numeric = (type == SQLITE_INTEGER || type == SQLITE_FLOAT) &&
                      (other == SQLITE_INTEGER || other == SQLITE_FLOAT);
        return numeric && sqlite3_value_double(a) == sqlite3_value_double(b);
    }
    switch (type) {
        case SQLITE_NULL: return 1;
        case SQLITE_INTEGER: return sqlite3_value_int64(a) == sqlite3_value_int64(b);
        case SQLITE_FLOAT: return sqlite3_value_double(a) == sqlite3_value_double(b);
        default: {
            const void *left = sqlite3_value_blob(a), *right = sqlite3_value_blob(b);
            int length = sqlite3_value_bytes(a);
            if (length != sqlite3_value_bytes(b)) return 0;
            return length == 0 || (left && right && memcmp(left, right, (size_t)length) == 0);
        }
    }
}

uint64_t peyk_changed_values(struct sqlite3_value *const *old_values, struct sqlite3_value *const *new_values, int count) {
    uint64_t mask = 0;
    for (int i = 0; i < count && i < 64; i++) {
        if (!old_values[i] || !new_values[i] || !is_same(old_values[i], new_values[i])) mask |= (uint64_t)1 << i;
    }
    return mask;
}

int peyk_set_triggers(struct sqlite3 *handle, int enabled) {
    return sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, enabled, (int *)0);
}
