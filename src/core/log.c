/* Messages, progress and phase times.
 *
 * On a terminal a progress line is redrawn in place, and any other message first wipes it; in a batch log each line stands alone
 * and carries the seconds since log_open.
 *
 * Open MPI gives its processes a pipe for stderr and always a terminal of its own making for stdout, wherever mpirun's go, so isatty tells
 * nothing of either. What stderr ends up on is the stderr of the mpirun that started this process. */
#include "monge/log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 1024, COLUMNS = 80 };
static const double BATCH_INTERVAL = 10.0, TERMINAL_INTERVAL = 0.2; /* seconds between progress lines */
static const double WORTH_TELLING = 1.0;                            /* finished work below this many seconds is not announced */

static struct {
    bool speaks, quiet;
    int terminal; /* a descriptor of the one that shows stderr, for its width; -1: none does */
    bool drawn;   /* a progress line is on the terminal's last line */
    double opened;
    char name[256];                               /* of the section, in front of every line; "": none */
    void (*watch)(const char *what, double part); /* or NULL */
    char **warnings;
    int n_warnings;
    const struct log_listener *listener;
} journal = {.terminal = -1};

double wall_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double peak_memory_bytes(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return 1024.0 * (double)usage.ru_maxrss;
}

/* Is it an mpirun that started this process, by its name? A shell or a script between them may send stderr elsewhere. */
static bool parent_is_mpirun(pid_t parent)
{
    static const char *const names[] = {"mpirun", "mpiexec", "orterun", "prterun"}; /* also mpirun.openmpi */
    char path[64], name[32] = "";
    snprintf(path, sizeof path, "/proc/%ld/comm", (long)parent);
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    bool read = fgets(name, sizeof name, file) != NULL;
    fclose(file);
    for (size_t i = 0; read && i < sizeof names / sizeof *names; i++)
        if (!strncmp(name, names[i], strlen(names[i])))
            return true;
    return false;
}

/* A descriptor of the terminal that shows stderr; -1: none. On another node than mpirun's, and where /proc is closed, none is found. */
static int find_terminal(void)
{
    struct stat about;
    if (isatty(STDERR_FILENO) == 1)
        return STDERR_FILENO;
    pid_t parent = getppid();
    if (fstat(STDERR_FILENO, &about) != 0 || !S_ISFIFO(about.st_mode) || !parent_is_mpirun(parent))
        return -1;
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/fd/%d", (long)parent, STDERR_FILENO);
    if (stat(path, &about) != 0 || !S_ISCHR(about.st_mode))
        return -1;
    int found = open(path, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (found >= 0 && isatty(found) == 1)
        return found;
    if (found >= 0)
        close(found);
    return -1;
}

/* It may be made wider or narrower at any time. */
static int terminal_columns(void)
{
    struct winsize size;
    return ioctl(journal.terminal, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : COLUMNS;
}

void log_open(bool speaks, bool quiet)
{
    journal.speaks = speaks;
    journal.quiet = quiet;
    if (journal.terminal > STDERR_FILENO)
        close(journal.terminal);
    journal.terminal = speaks ? find_terminal() : -1;
    journal.drawn = false;
    journal.opened = wall_seconds();
}

void log_name(bool speaks, const char *name)
{
    journal.speaks = speaks;
    snprintf(journal.name, sizeof journal.name, "%s", name ? name : "");
}

void log_watch(void (*watch)(const char *what, double part))
{
    journal.watch = watch;
}

void log_listen(const struct log_listener *listener)
{
    journal.listener = listener;
}

static void tell_listener(const char *kind, const char *text)
{
    if (journal.listener)
        journal.listener->message(kind, text, journal.listener->data);
}

static void wipe(void)
{
    if (journal.drawn)
        fputs("\r\033[K", stderr);
    journal.drawn = false;
}

static void print_line(const char *mark, const char *text)
{
    wipe();
    const char *colon = journal.name[0] ? ": " : "";
    fprintf(stderr, "[%8.1f s] %s%s%s%s\n", wall_seconds() - journal.opened, journal.name, colon, mark, text);
    fflush(stderr);
}

static void inform(const char *kind, const char *format, va_list arguments)
{
    bool printed = journal.speaks && !journal.quiet;
    if (!printed && !journal.listener)
        return;
    char text[LINE];
    vsnprintf(text, sizeof text, format, arguments);
    tell_listener(kind, text);
    if (printed)
        print_line("", text);
}

void log_info(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    inform("info", format, arguments);
    va_end(arguments);
}

void log_event(const char *kind, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    inform(kind, format, arguments);
    va_end(arguments);
}

/* A warning that cannot be kept for want of memory is still printed. */
static void keep_warning(const char *text)
{
    char **longer = realloc(journal.warnings, (size_t)(journal.n_warnings + 1) * sizeof *longer);
    if (!longer)
        return;
    journal.warnings = longer;
    char *copy = strdup(text);
    if (copy)
        journal.warnings[journal.n_warnings++] = copy;
}

void log_warn(const char *format, ...)
{
    char text[LINE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (int i = 0; i < journal.n_warnings; i++)
        if (!strcmp(journal.warnings[i], text))
            return;
    keep_warning(text);
    tell_listener("warning", text);
    if (journal.speaks)
        print_line("warning: ", text);
}

int log_warnings(const char *const **texts)
{
    *texts = (const char *const *)journal.warnings;
    return journal.n_warnings;
}

void log_clear_warnings(void)
{
    for (int i = 0; i < journal.n_warnings; i++)
        free(journal.warnings[i]);
    free(journal.warnings);
    journal.warnings = NULL;
    journal.n_warnings = 0;
}

/* ---- progress ---- */

void progress_start(struct progress *p, const char *what, int64_t total)
{
    double now = wall_seconds();
    *p = (struct progress){.what = what, .total = total, .started = now, .printed = now};
}

/* "4 min 05 s", "12 s" */
static void print_duration(char *text, size_t size, double seconds)
{
    long whole = (long)(seconds + 0.5);
    if (whole >= 3600)
        snprintf(text, size, "%ld h %02ld min", whole / 3600, whole % 3600 / 60);
    else if (whole >= 60)
        snprintf(text, size, "%ld min %02ld s", whole / 60, whole % 60);
    else
        snprintf(text, size, "%ld s", whole);
}

/* A line that is longer than the terminal is wide would go on in the next one, and could not be redrawn: its end is left out. */
static void draw(const char *text)
{
    int room = terminal_columns() - 3; /* beside the indent, and the last column, from which some terminals go on by themselves */
    fprintf(stderr, "\r\033[K  %.*s", room > 0 ? room : 0, text);
    fflush(stderr);
    journal.drawn = true;
}

void progress_update(struct progress *p, int64_t done)
{
    if (journal.watch && done > 0 && p->total > 0)
        journal.watch(p->what, (double)done / (double)p->total);
    if (!journal.speaks || journal.quiet || journal.name[0] || done <= p->first || p->total <= 0)
        return;
    double now = wall_seconds();
    bool terminal = journal.terminal >= 0;
    if (now - p->printed < (terminal ? TERMINAL_INTERVAL : BATCH_INTERVAL) || (!terminal && done == p->total))
        return; /* what follows tells the end */
    p->printed = now;
    char left[64], text[LINE];
    double part = (double)done / (double)p->total;
    print_duration(left, sizeof left, (now - p->started) * (double)(p->total - done) / (double)(done - p->first));
    snprintf(text, sizeof text, "%s: %lld of %lld (%.0f %%), %s left", p->what, (long long)done, (long long)p->total, 100.0 * part, left);
    if (terminal)
        draw(text);
    else
        print_line("", text);
}

void progress_drop(struct progress *p)
{
    p->total = 0;
    if (journal.speaks)
        wipe();
}

void progress_finish(struct progress *p)
{
    double seconds = wall_seconds() - p->started;
    progress_drop(p);
    if (journal.speaks && seconds >= WORTH_TELLING)
        log_info("%s: done in %.1f s", p->what, seconds);
}

/* ---- phases ---- */

static struct {
    const char *name[PHASES_MAX];
    char *copy[PHASES_MAX]; /* owned: names that are no static strings */
    double seconds[PHASES_MAX], memory[PHASES_MAX];
    int count;
    int running; /* index + 1; 0: none */
    double began;
} phases;

void phase_begin(const char *name)
{
    double now = wall_seconds();
    if (phases.running) {
        phases.seconds[phases.running - 1] += now - phases.began;
        phases.memory[phases.running - 1] = peak_memory_bytes();
    }
    bool ended = phases.running && !name;
    phases.running = 0;
    phases.began = now;
    if (journal.listener && (name || ended))
        journal.listener->phase(name, journal.listener->data);
    if (!name)
        return;
    int i = 0;
    while (i < phases.count && strcmp(phases.name[i], name) != 0)
        i++;
    if (i == PHASES_MAX)
        return;
    if (i == phases.count) {
        phases.name[i] = name;
        phases.seconds[i] = 0.0;
        phases.count++;
    }
    phases.running = i + 1;
    if (journal.watch)
        journal.watch(name, 0.0);
}

void phase_add(const char *name, double seconds)
{
    int i = 0;
    while (i < phases.count && strcmp(phases.name[i], name) != 0)
        i++;
    if (i == PHASES_MAX)
        return;
    if (i == phases.count) {
        char *copy = strdup(name);
        if (!copy)
            return;
        free(phases.copy[i]);
        phases.copy[i] = copy;
        phases.name[i] = copy;
        phases.seconds[i] = phases.memory[i] = 0.0;
        phases.count++;
    }
    phases.seconds[i] += seconds;
}

int phase_count(void)
{
    return phases.count;
}

const char *phase_name(int i)
{
    return phases.name[i];
}

double phase_seconds(int i)
{
    return phases.seconds[i] + (phases.running == i + 1 ? wall_seconds() - phases.began : 0.0);
}

double phase_memory(int i)
{
    return phases.running == i + 1 ? peak_memory_bytes() : phases.memory[i];
}

int phase_running(void)
{
    return phases.running - 1;
}

void phase_reset(void)
{
    phases.count = 0;
    phases.running = 0;
}
