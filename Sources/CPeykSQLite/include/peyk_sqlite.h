#ifndef PEYK_SQLITE_H
#define PEYK_SQLITE_H

#include <stdint.h>

// What Swift cannot reach of SQLite by itself: the preupdate hook, which its header shows only to those who define
// SQLITE_ENABLE_PREUPDATE_HOOK, and sqlite3_db_config, which takes variable arguments.

struct sqlite3;
struct sqlite3_value;

/// `operation` is SQLITE_INSERT, SQLITE_UPDATE or SQLITE_DELETE; `database` is "main", "temp" or an attached name.
typedef void (*peyk_row_callback)(
    void *_Nullable context, struct sqlite3 *_Nonnull handle, int operation, const char *_Nonnull database,
    const char *_Nonnull table, int64_t old_rowid, int64_t new_rowid);

/// Whether this SQLite was built with the preupdate hook.
int peyk_has_row_hook(void);

/// Calls `callback` before each change of a row; with NULL, no longer. Does nothing without the hook.
void peyk_watch_rows(
    struct sqlite3 *_Nonnull handle, peyk_row_callback _Nullable callback, void *_Nullable context);

/// The first `count` columns of the row before and after the change that the callback is told of; values are good
/// until it returns. Answers 0, or SQLite's error code.
int peyk_old_values(struct sqlite3 *_Nonnull handle, struct sqlite3_value *_Nullable *_Nonnull values, int count);
int peyk_new_values(struct sqlite3 *_Nonnull handle, struct sqlite3_value *_Nullable *_Nonnull values, int count);

/// Bit i is set where `old[i] IS NOT new[i]`; at most 64 values.
uint64_t peyk_changed_values(
    struct sqlite3_value *_Nullable const *_Nonnull old_values,
    struct sqlite3_value *_Nullable const *_Nonnull new_values, int count);

/// Switches the triggers of this connection on or off; prepared statements are prepared again.
int peyk_set_triggers(struct sqlite3 *_Nonnull handle, int enabled);

#endif
