/* Options tables: text to typed values and back, with one message for each way to be wrong.
 *
 * A table is data (include/monge/options.h); this file is the only one that knows how a value of each type is stored. */
#include "monge/options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monge/text.h"

static void *member(void *values, const struct option *option)
{
    return (char *)values + option->offset;
}

static const void *member_const(const void *values, const struct option *option)
{
    return (const char *)values + option->offset;
}

int options_find(const struct option_table *table, const char *name)
{
    for (int i = 0; i < table->n_options; i++)
        if (text_same_name(table->options[i].name, name))
            return i;
    return -1;
}

bool options_layout(const struct option_table *table, int index)
{
    for (int i = 0; table->layout && table->layout[i]; i++)
        if (!strcmp(table->layout[i], table->options[index].name))
            return true;
    return false;
}

/* ---- freeing ---- */

static void free_value(const struct option *option, void *values)
{
    void *place = member(values, option);
    if (option->type == OPTION_TEXT) {
        free(*(char **)place);
        *(char **)place = NULL;
    } else if (option->type == OPTION_REALS) {
        struct option_reals *list = place;
        free(list->values);
        *list = (struct option_reals){0};
    } else if (option->type == OPTION_TEXTS) {
        struct option_texts *list = place;
        for (int i = 0; i < list->n; i++)
            free(list->values[i]);
        free(list->values);
        *list = (struct option_texts){0};
    }
}

void options_free(const struct option_table *table, void *values)
{
    for (int i = 0; i < table->n_options; i++)
        free_value(&table->options[i], values);
}

/* ---- one value ---- */

static bool limited(const struct option *option)
{
    return option->min != 0.0 || option->max != 0.0;
}

static status check_range(const struct option *option, double number, const char *text, const char *where)
{
    if (!limited(option) || (number >= option->min && number <= option->max))
        return MONGE_OK;
    const char *unit = option->unit ? option->unit : "";
    const char *space = option->unit ? " " : "";
    if (option->max > 1e15)
        return error_set(MONGE_USAGE, "%s: %s is %s, but must be at least %g%s%s", where, option->name, text, option->min, space, unit);
    return error_set(MONGE_USAGE, "%s: %s is %s, but must be from %g to %g%s%s", where, option->name, text, option->min, option->max, space,
                     unit);
}

static status wrong_type(const struct option *option, const char *text, const char *where, const char *wanted)
{
    return error_set(MONGE_USAGE, "%s: %s is '%s', but must be %s", where, option->name, text, wanted);
}

static status read_real(const struct option *option, const char *text, const char *where, double *value)
{
    char *end;
    *value = strtod(text, &end);
    if (end == text || *end || isnan(*value))
        return wrong_type(option, text, where, option->fallback ? "a number" : "a number or auto");
    return check_range(option, *value, text, where);
}

static status read_integer(const struct option *option, const char *text, const char *where, int64_t *value)
{
    char *end;
    errno = 0;
    long long whole = strtoll(text, &end, 10);
    if (end == text || *end || errno == ERANGE) {
        double number = strtod(text, &end); /* 1e6 is a whole number too */
        if (end == text || *end || number != floor(number) || fabs(number) > 0x1p53)
            return wrong_type(option, text, where, option->fallback ? "a whole number" : "a whole number or auto");
        whole = (long long)number;
    }
    *value = whole;
    return check_range(option, (double)whole, text, where);
}

static status read_bool(const struct option *option, const char *text, const char *where, bool *value)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};
    for (int i = 0; i < 6; i++) {
        if (!strcmp(text, words[i])) {
            *value = i % 2;
            return MONGE_OK;
        }
    }
    return wrong_type(option, text, where, "true or false");
}

static status read_choice(const struct option *option, const char *text, const char *where, int *value)
{
    const char *nearest = NULL;
    struct text all = {0};
    for (int i = 0; option->choices[i]; i++) {
        if (!strcmp(text, option->choices[i])) {
            *value = i;
            text_free(&all);
            return MONGE_OK;
        }
        text_nearer(text, option->choices[i], &nearest);
        text_add(&all, "%s%s", i ? ", " : "", option->choices[i]);
    }
    char *list = text_take(&all);
    if (list)
        error_set(MONGE_USAGE, "%s: %s is '%s', but must be one of %s; did you mean '%s'?", where, option->name, text, list, nearest);
    free(list);
    return error_code();
}

static status read_text(const char *text, char **value)
{
    char *copy = NULL;
    if (*text && !(copy = text_copy(text)))
        return MONGE_INTERNAL;
    free(*value);
    *value = copy;
    return MONGE_OK;
}

/* ---- lists ---- */

static status read_reals(const struct option *option, struct option_reals *list, int n, const char *const *items, const char *where)
{
    struct option_reals read = {n, malloc((size_t)(n ? n : 1) * sizeof(double))};
    if (!read.values)
        return error_memory(option->name, (double)n * sizeof(double));
    for (int i = 0; i < n; i++) {
        if (read_real(option, items[i], where, &read.values[i]) != MONGE_OK) {
            free(read.values);
            return error_code();
        }
    }
    free(list->values);
    *list = read;
    return MONGE_OK;
}

static status read_texts(const struct option *option, void *values, int n, const char *const *items)
{
    struct option_texts read = {0, calloc((size_t)(n ? n : 1), sizeof(char *))};
    if (!read.values)
        return error_memory(option->name, (double)n * sizeof(char *));
    for (; read.n < n; read.n++) {
        read.values[read.n] = text_copy(items[read.n]);
        if (!read.values[read.n]) {
            while (read.n > 0)
                free(read.values[--read.n]);
            free(read.values);
            return error_code();
        }
    }
    free_value(option, values);
    *(struct option_texts *)member(values, option) = read;
    return MONGE_OK;
}

static status set_list(const struct option *option, void *values, int n, const char *const *items, const char *where)
{
    if (option->type == OPTION_REALS)
        return read_reals(option, member(values, option), n, items, where);
    if (option->type == OPTION_TEXTS)
        return read_texts(option, values, n, items);
    return error_set(MONGE_USAGE, "%s: %s takes one value, not a list", where, option->name);
}

/* "a,b,c" -> items; "" -> none */
static status set_from_commas(const struct option *option, void *values, const char *text, const char *where)
{
    char *copy = text_copy(text);
    size_t most = strlen(text) + 1;
    const char **items = malloc(most * sizeof *items);
    if (!copy || !items) {
        free(copy);
        free(items);
        return error_memory(option->name, (double)most);
    }
    int n = 0;
    char *rest = copy;
    while (*text && rest)
        items[n++] = strsep(&rest, ",");
    status done = set_list(option, values, n, items, where);
    free(items);
    free(copy);
    return done;
}

/* ---- setting ---- */

static void unset(const struct option *option, void *values)
{
    free_value(option, values);
    if (option->type == OPTION_REAL)
        *(double *)member(values, option) = NAN;
    else if (option->type == OPTION_INTEGER)
        *(int64_t *)member(values, option) = INT64_MIN;
}

static status set_value(const struct option *option, void *values, const char *text, const char *where)
{
    void *place = member(values, option);
    bool number = option->type == OPTION_REAL || option->type == OPTION_INTEGER;
    if (number && !option->fallback && !strcmp(text, "auto")) {
        unset(option, values);
        return MONGE_OK;
    }
    switch (option->type) {
    case OPTION_BOOL:
        return read_bool(option, text, where, place);
    case OPTION_INTEGER:
        return read_integer(option, text, where, place);
    case OPTION_REAL:
        return read_real(option, text, where, place);
    case OPTION_CHOICE:
        return read_choice(option, text, where, place);
    case OPTION_TEXT:
        return read_text(text, place);
    case OPTION_REALS:
    case OPTION_TEXTS:
        return set_from_commas(option, values, text, where);
    }
    return error_set(MONGE_INTERNAL, "option %s has no type", option->name);
}

static status unknown(const struct option_set *sets, int n_sets, const char *name, const char *where)
{
    const char *nearest = NULL;
    for (int s = 0; s < n_sets; s++)
        for (int i = 0; i < sets[s].table->n_options; i++)
            text_nearer(name, sets[s].table->options[i].name, &nearest);
    const char *verb = sets[n_sets - 1].table->verb;
    if (!nearest)
        return error_set(MONGE_USAGE, "%s: %s has no options", where, verb);
    return error_set(MONGE_USAGE, "%s: '%s' is not an option of %s; did you mean '%s'? ('monge help %s' lists all)", where, name, verb,
                     nearest, verb);
}

status options_set(const struct option_table *table, void *values, const char *name, const char *text, const char *where)
{
    int index = options_find(table, name);
    if (index < 0)
        return unknown(&(struct option_set){table, values}, 1, name, where);
    return set_value(&table->options[index], values, text, where);
}

status options_set_list(const struct option_table *table, void *values, const char *name, int n, const char *const *items,
                        const char *where)
{
    int index = options_find(table, name);
    if (index < 0)
        return unknown(&(struct option_set){table, values}, 1, name, where);
    return set_list(&table->options[index], values, n, items, where);
}

status options_defaults(const struct option_table *table, void *values)
{
    memset(values, 0, table->size);
    for (int i = 0; i < table->n_options; i++) {
        const struct option *option = &table->options[i];
        unset(option, values);
        if (option->fallback && set_value(option, values, option->fallback, "the default") != MONGE_OK) {
            options_free(table, values);
            return error_set(MONGE_INTERNAL, "options table of %s: %s", table->verb, error_message());
        }
    }
    return MONGE_OK;
}

static status copy_reals(const struct option *option, struct option_reals *copy, const struct option_reals *list)
{
    *copy = (struct option_reals){list->n, malloc((size_t)(list->n + 1) * sizeof(double))};
    if (!copy->values)
        return error_memory(option->name, (double)list->n * sizeof(double));
    if (list->n)
        memcpy(copy->values, list->values, (size_t)list->n * sizeof(double));
    return MONGE_OK;
}

/* The option's member of `copy` is zero before. */
static status copy_value(const struct option *option, void *copy, const void *values)
{
    const void *from = member_const(values, option);
    const struct option_texts *texts = from;
    void *to = member(copy, option);
    switch (option->type) {
    case OPTION_BOOL:
        *(bool *)to = *(const bool *)from;
        break;
    case OPTION_INTEGER:
        *(int64_t *)to = *(const int64_t *)from;
        break;
    case OPTION_REAL:
        *(double *)to = *(const double *)from;
        break;
    case OPTION_CHOICE:
        *(int *)to = *(const int *)from;
        break;
    case OPTION_TEXT:
        return *(char *const *)from ? read_text(*(char *const *)from, to) : MONGE_OK;
    case OPTION_REALS:
        return copy_reals(option, to, from);
    case OPTION_TEXTS:
        return read_texts(option, copy, texts->n, (const char *const *)texts->values);
    }
    return MONGE_OK;
}

status options_copy(const struct option_table *table, void *copy, const void *values)
{
    memset(copy, 0, table->size);
    for (int i = 0; i < table->n_options; i++) {
        if (copy_value(&table->options[i], copy, values) != MONGE_OK) {
            options_free(table, copy);
            return error_code();
        }
    }
    return MONGE_OK;
}

/* ---- command line ---- */

static const struct option *find_in_sets(const struct option_set *sets, int n_sets, const char *name, void **values)
{
    for (int s = 0; s < n_sets; s++) {
        int index = options_find(sets[s].table, name);
        if (index >= 0) {
            *values = sets[s].values;
            return &sets[s].table->options[index];
        }
    }
    return NULL;
}

static bool has_choice(const struct option *option, const char *text)
{
    if (option->type != OPTION_CHOICE || !text)
        return false;
    for (int i = 0; option->choices[i]; i++)
        if (!strcmp(option->choices[i], text))
            return true;
    return false;
}

/* The word of a choice that switches on or off, or NULL. */
static const char *switch_word(const struct option *option, const char *first, const char *second)
{
    return has_choice(option, first) ? first : has_choice(option, second) ? second : NULL;
}

/* What a name alone means: "--fast" true, "--mean-layer" yes where yes is a choice and `next` is none; NULL: it needs a value. */
static const char *value_of_name_alone(const struct option *option, const char *next)
{
    if (option->type == OPTION_BOOL)
        return "true";
    return has_choice(option, next) ? NULL : switch_word(option, "on", "yes");
}

/* What "--no-NAME" means, or NULL if NAME cannot be denied. */
static const char *value_of_denial(const struct option *option)
{
    return option->type == OPTION_BOOL ? "false" : switch_word(option, "off", "no");
}

/* argument: "--name", "--name=text" or "--no-name"; next: the argument after it or NULL; *used: 1 if next was the value */
static status parse_option(const struct option_set *sets, int n_sets, const char *argument, const char *next, int *used)
{
    char name[128], where[136];
    const char *equals = strchr(argument, '=');
    int length = equals ? (int)(equals - argument) : (int)strlen(argument);
    snprintf(name, sizeof name, "%.*s", length - 2, argument + 2);
    snprintf(where, sizeof where, "--%s", name);
    void *values = NULL;
    *used = 0;
    const struct option *option = find_in_sets(sets, n_sets, name, &values);
    if (!option && !equals && !strncmp(name, "no-", 3)) {
        option = find_in_sets(sets, n_sets, name + 3, &values);
        if (option && value_of_denial(option))
            return set_value(option, values, value_of_denial(option), where);
        option = NULL;
    }
    if (!option)
        return unknown(sets, n_sets, name, where);
    if (equals)
        return set_value(option, values, equals + 1, where);
    const char *alone = value_of_name_alone(option, next);
    if (alone)
        return set_value(option, values, alone, where);
    if (!next)
        return error_set(MONGE_USAGE, "%s: needs a value", where);
    *used = 1;
    return set_value(option, values, next, where);
}

status options_parse_sets(const struct option_set *sets, int n_sets, int argc, char **argv, const char **positional, int *n_positional)
{
    *n_positional = 0;
    for (int i = 0; i < argc; i++) {
        if (!strcmp(argv[i], "--")) {
            while (++i < argc)
                positional[(*n_positional)++] = argv[i];
        } else if (argv[i][0] != '-' || !argv[i][1]) {
            positional[(*n_positional)++] = argv[i];
        } else if (argv[i][1] != '-') {
            return error_set(MONGE_USAGE, "%s: not an option; options are written in full, like --%s", argv[i],
                             sets[0].table->n_options ? sets[0].table->options[0].name : "name");
        } else {
            int used;
            status done = parse_option(sets, n_sets, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used);
            if (done != MONGE_OK)
                return done;
            i += used;
        }
    }
    return MONGE_OK;
}

status options_parse(const struct option_table *table, void *values, int argc, char **argv, const char **positional, int *n_positional)
{
    return options_parse_sets(&(struct option_set){table, values}, 1, argc, argv, positional, n_positional);
}

/* ---- back to text ---- */

bool options_unset(const struct option_table *table, const void *values, int index)
{
    const struct option *option = &table->options[index];
    const void *place = member_const(values, option);
    switch (option->type) {
    case OPTION_INTEGER:
        return *(const int64_t *)place == INT64_MIN;
    case OPTION_REAL:
        return isnan(*(const double *)place);
    case OPTION_TEXT:
        return !*(char *const *)place;
    case OPTION_REALS:
        return ((const struct option_reals *)place)->n == 0;
    case OPTION_TEXTS:
        return ((const struct option_texts *)place)->n == 0;
    case OPTION_BOOL:
    case OPTION_CHOICE:
        break;
    }
    return false;
}

/* the shortest decimal that reads back as the same number */
static void add_real(struct text *text, double value)
{
    char digits[32];
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value)
            break;
    }
    text_add(text, "%s", digits);
}

char *options_text(const struct option_table *table, const void *values, int index)
{
    const struct option *option = &table->options[index];
    const void *place = member_const(values, option);
    struct text text = {0};
    if (options_unset(table, values, index)) {
        bool number = option->type == OPTION_INTEGER || option->type == OPTION_REAL;
        text_add(&text, "%s", number ? "auto" : "");
    } else if (option->type == OPTION_BOOL) {
        text_add(&text, "%s", *(const bool *)place ? "true" : "false");
    } else if (option->type == OPTION_INTEGER) {
        text_add(&text, "%lld", (long long)*(const int64_t *)place);
    } else if (option->type == OPTION_REAL) {
        add_real(&text, *(const double *)place);
    } else if (option->type == OPTION_CHOICE) {
        text_add(&text, "%s", option->choices[*(const int *)place]);
    } else if (option->type == OPTION_TEXT) {
        text_add(&text, "%s", *(char *const *)place);
    } else if (option->type == OPTION_REALS) {
        const struct option_reals *list = place;
        for (int i = 0; i < list->n; i++) {
            text_add(&text, "%s", i ? "," : "");
            add_real(&text, list->values[i]);
        }
    } else {
        const struct option_texts *list = place;
        for (int i = 0; i < list->n; i++)
            text_add(&text, "%s%s", i ? "," : "", list->values[i]);
    }
    return text_take(&text);
}
