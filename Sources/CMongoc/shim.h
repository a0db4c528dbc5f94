// libmongoc with documents as plain bytes: Swift can't make a `bson_t`, which is aligned to 128 bytes.
#include <mongoc/mongoc.h>

/// Runs a command. `reply` is to be freed with `bson_free`; it is also set when the command failed.
static inline bool perennial_command(
    mongoc_client_t *client, const char *database, const uint8_t *bytes, size_t length, bool writes,
    const mongoc_read_prefs_t *preference, uint8_t **reply, uint32_t *reply_length, bson_error_t *error) {
    bson_t command, answer;
    *reply = NULL;
    *reply_length = 0;
    if (!bson_init_static(&command, bytes, length)) {
        bson_set_error(error, MONGOC_ERROR_BSON, MONGOC_ERROR_BSON_INVALID, "the command is no document");
        return false;
    }
    bool ok = writes
        ? mongoc_client_write_command_with_opts(client, database, &command, NULL, &answer, error)
        : mongoc_client_read_command_with_opts(client, database, &command, preference, NULL, &answer, error);
    *reply = bson_destroy_with_steal(&answer, true, reply_length);
    return ok;
}

static inline mongoc_cursor_t *perennial_find(
    mongoc_collection_t *collection, const uint8_t *filter, size_t filter_length, const uint8_t *options,
    size_t options_length, const mongoc_read_prefs_t *preference) {
    bson_t filter_document, options_document;
    if (!bson_init_static(&filter_document, filter, filter_length) ||
        !bson_init_static(&options_document, options, options_length))
        return NULL;
    return mongoc_collection_find_with_opts(collection, &filter_document, &options_document, preference);
}

/// The next document; valid until the next call.
static inline bool perennial_cursor_next(mongoc_cursor_t *cursor, const uint8_t **bytes, uint32_t *length) {
    const bson_t *document;
    if (!mongoc_cursor_next(cursor, &document)) return false;
    *bytes = bson_get_data(document);
    *length = document->len;
    return true;
}

static inline mongoc_change_stream_t *perennial_watch(
    mongoc_database_t *database, const uint8_t *pipeline, size_t pipeline_length, const uint8_t *options,
    size_t options_length) {
    bson_t pipeline_document, options_document;
    if (!bson_init_static(&pipeline_document, pipeline, pipeline_length) ||
        !bson_init_static(&options_document, options, options_length))
        return NULL;
    return mongoc_database_watch(database, &pipeline_document, &options_document);
}

/// The next change; valid until the next call. `false`: none came in time, or there is an error.
static inline bool perennial_change_next(mongoc_change_stream_t *stream, const uint8_t **bytes, uint32_t *length) {
    const bson_t *document;
    if (!mongoc_change_stream_next(stream, &document)) return false;
    *bytes = bson_get_data(document);
    *length = document->len;
    return true;
}

static inline bool perennial_change_error(const mongoc_change_stream_t *stream, bson_error_t *error) {
    const bson_t *document;
    return mongoc_change_stream_error_document(stream, error, &document);
}

static inline const char *perennial_error_message(const bson_error_t *error) { return error->message; }

/// libmongoc's own log goes nowhere: what is wrong is told by errors.
static inline void perennial_start(void) {
    mongoc_init();
    mongoc_log_set_handler(NULL, NULL);
}
