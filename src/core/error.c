/* The one error record of a process. */
#include "monge/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_SIZE = 2048 };

static struct {
    status code;
    char message[MESSAGE_SIZE];
} record;

status error_set(status code, const char *format, ...)
{
    char text[MESSAGE_SIZE]; /* the message may quote the record it replaces */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    record.code = code;
    memcpy(record.message, text, sizeof text);
    return code;
}

status error_prefix(const char *format, ...)
{
    char text[MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length >= 0 && length < MESSAGE_SIZE)
        snprintf(text + length, sizeof text - (size_t)length, ": %s", record.message);
    memcpy(record.message, text, sizeof text);
    return record.code;
}

status error_memory(const char *what, double bytes)
{
    return error_set(MONGE_INTERNAL, "out of memory: %.3g MB for %s; use more nodes or fewer ranks per node", bytes / 1e6, what);
}

status error_code(void)
{
    return record.code;
}

const char *error_message(void)
{
    return record.message;
}

void error_clear(void)
{
    record.code = MONGE_OK;
    record.message[0] = '\0';
}
