/* Messages go to stderr from the speaking rank only; warnings are kept once; phases add up. stderr is read back through a file, or a
 * terminal made for it; under mpirun this program plays the one that works (`test_log --work`). */
#include "monge/log.h"

#include <fcntl.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "support/child.h"
#include "support/suite.h"

/* What `speak` prints on stderr (malloc'd). */
static char *caught(void (*speak)(void))
{
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stderr);
    int kept = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    speak();
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *text = calloc((size_t)size + 1, 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)size, file), size);
    fclose(file);
    return text;
}

static void speak_all(void)
{
    log_open(true, false);
    log_info("read %d spots", 42);
    log_warn("one");
    log_warn("two");
    log_warn("one");
}

static void speak_quietly(void)
{
    log_open(true, true);
    log_info("read %d spots", 42);
    log_warn("three");
}

static void speak_not(void)
{
    log_open(false, false);
    log_info("read %d spots", 42);
    log_warn("four");
}

static void who_speaks(void **state)
{
    (void)state;
    log_clear_warnings();
    char *text = caught(speak_all);
    assert_non_null(strstr(text, " s] read 42 spots\n"));
    assert_non_null(strstr(text, "warning: one\n"));
    assert_null(strstr(strstr(text, "warning: one") + 1, "warning: one"));
    free(text);
    text = caught(speak_quietly);
    assert_null(strstr(text, "read"));
    assert_non_null(strstr(text, "warning: three\n"));
    free(text);
    text = caught(speak_not);
    assert_string_equal(text, "");
    free(text);
    const char *const *kept;
    assert_int_equal(log_warnings(&kept), 4); /* also those of a silent rank */
    assert_string_equal(kept[3], "four");
    log_clear_warnings();
    assert_int_equal(log_warnings(&kept), 0);
}

static void work_with_progress(void)
{
    log_open(true, false);
    struct progress p;
    progress_start(&p, "genes", 100);
    progress_update(&p, 10); /* too early to tell */
    p.printed -= 20.0;
    p.started -= 20.0; /* as if 20 s had passed */
    progress_update(&p, 20);
    progress_update(&p, 30);
    progress_finish(&p);
}

static void progress_lines(void **state)
{
    (void)state;
    char *text = caught(work_with_progress);
    assert_null(strstr(text, "10 of 100"));
    assert_non_null(strstr(text, "genes: 20 of 100 (20 %), 1 min "));
    assert_null(strstr(text, "30 of 100"));
    assert_non_null(strstr(text, "genes: done in 2"));
    assert_null(strchr(text, '\r')); /* a file is no terminal */
    free(text);
    log_open(false, false);
}

/* What `speak` prints on a terminal of so many columns (malloc'd). */
static char *shown(void (*speak)(void), int columns)
{
    enum { MOST = 4096 };
    int terminal, far_end;
    const struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
    assert_int_equal(openpty(&far_end, &terminal, NULL, NULL, &size), 0);
    fflush(stderr);
    int kept = dup(STDERR_FILENO);
    dup2(terminal, STDERR_FILENO);
    speak();
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
    assert_int_equal(fcntl(far_end, F_SETFL, O_NONBLOCK), 0);
    char *text = calloc(MOST + 1, 1);
    assert_non_null(text);
    for (ssize_t n = 0, at = 0; (n = read(far_end, text + at, (size_t)(MOST - at))) > 0;)
        at += n;
    close(terminal);
    close(far_end);
    return text;
}

/* A line that a message and the end take the place of. */
static void work_and_tell(void)
{
    log_open(true, false);
    struct progress p;
    progress_start(&p, "genes", 100);
    p.started -= 20.0;
    p.printed -= 20.0;
    progress_update(&p, 20);
    progress_update(&p, 21); /* too early to draw again */
    p.printed -= 1.0;
    progress_update(&p, 30);
    log_info("a message");
    p.printed -= 1.0;
    p.total = 200; /* there is more to do */
    progress_update(&p, 40);
    progress_drop(&p);
    progress_update(&p, 41);
}

static void progress_is_redrawn(void **state)
{
    (void)state;
    char *text = shown(work_and_tell, 100);
    static const char *const parts[] = {"\r\033[K  genes: 20 of 100 (20 %), 1 min 20 s left",
                                        "\r\033[K  genes: 30 of 100 (30 %), 47 s left", "\r\033[K[     0.0 s] a message\r\n",
                                        "\r\033[K  genes: 40 of 200 (20 %), 1 min 20 s left", "\r\033[K"};
    const char *at = text;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (strncmp(at, parts[i], strlen(parts[i])) != 0)
            fail_msg("expected '%s' at '%s'", parts[i], at);
        at += strlen(parts[i]);
    }
    assert_string_equal(at, "");
    free(text);
    text = shown(work_and_tell, 20); /* no line is longer than the terminal */
    assert_non_null(strstr(text, "\r\033[K  genes: 20 of 100 \r"));
    free(text);
    text = shown(work_and_tell, 2);
    assert_non_null(strstr(text, "\r\033[K  \r"));
    free(text);
    log_open(false, false);
}

/* A run that goes on where another stopped knows only its own speed. */
static void go_on(void)
{
    log_open(true, false);
    struct progress p;
    progress_start(&p, "genes", 100);
    p.first = 80;
    p.started -= 20.0;
    p.printed -= 20.0;
    progress_update(&p, 80);
    progress_update(&p, 90);
    progress_drop(&p);
}

static void what_was_done_before_does_not_count(void **state)
{
    (void)state;
    char *text = caught(go_on);
    assert_non_null(strstr(text, "genes: 90 of 100 (90 %), 20 s left\n"));
    assert_int_equal(occurrences(text, "genes"), 1);
    free(text);
    log_open(false, false);
}

/* Progress is redrawn where stderr ends up on a terminal, and nowhere else. */
static void terminal_behind_mpirun(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    static const struct {
        const char *command;
        bool redrawn;
    } cases[] = {
        {"script -qec \"$SELF --work\" /dev/null", true},
        {"script -qec \"mpirun -n 1 $SELF --work\" /dev/null", true},
        {"script -qec \"mpirun -n 1 $SELF --work > /dev/null\" /dev/null", true},
        {"script -qec \"mpirun -n 1 $SELF --work 2> $T/log\" /dev/null; cat $T/log", false},
        {"script -qec \"mpirun -n 1 $SELF --work 2>&1 | cat\" /dev/null", false},
        {"script -qec \"mpirun -n 1 sh -c '$SELF --work 2>&1 | cat'\" /dev/null", false},
        {"script -qec \"$SELF --work 2>&1 | cat\" /dev/null", false},
        {"mpirun -n 1 $SELF --work", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int code;
        char *text = child_shell(cases[i].command, &code);
        bool redrawn = strstr(text, "\r\033[K  genes: 20 of 100") != NULL;
        if (code != 0 || redrawn != cases[i].redrawn || !strstr(text, "genes: 20 of 100") || (!redrawn && strchr(text, '\033')))
            fail_msg("%s\nexit code %d\n%s", cases[i].command, code, text);
        free(text);
    }
}

static void pause_for(double seconds)
{
    struct timespec time = {0, (long)(1e9 * seconds)};
    nanosleep(&time, NULL);
}

static void phases(void **state)
{
    (void)state;
    phase_reset();
    double started = wall_seconds();
    phase_begin("read");
    pause_for(0.02);
    phase_begin("fit");
    pause_for(0.01);
    phase_begin("read");
    pause_for(0.02);
    double running = phase_seconds(0);
    phase_begin(NULL);
    double elapsed = wall_seconds() - started;
    pause_for(0.01);
    assert_int_equal(phase_count(), 2);
    assert_string_equal(phase_name(0), "read");
    assert_string_equal(phase_name(1), "fit");
    assert_true(running >= 0.04 && phase_seconds(0) >= running && phase_seconds(1) >= 0.01);
    assert_true(phase_seconds(0) + phase_seconds(1) <= elapsed);
    phase_reset();
    assert_int_equal(phase_count(), 0);
}

/* ---- the second reader ---- */

static struct {
    int n;
    char what[16][128];
} heard;

static void hear(const char *kind, const char *text, void *data)
{
    assert_ptr_equal(data, &heard);
    snprintf(heard.what[heard.n++], sizeof heard.what[0], "%s: %s", kind, text);
}

static void hear_phase(const char *name, void *data)
{
    hear("phase", name ? name : "ended", data);
}

static void a_listener_hears_all(void **state)
{
    (void)state;
    static const struct log_listener listener = {hear, hear_phase, &heard};
    log_open(false, true); /* nothing is printed */
    log_clear_warnings();
    phase_reset();
    log_listen(&listener);
    assert_int_equal(phase_running(), -1);
    phase_begin("read");
    assert_int_equal(phase_running(), 0);
    log_info("%d spots", 3);
    log_event("resumed", "from %s", "here");
    log_warn("odd");
    log_warn("odd"); /* once */
    phase_begin("write");
    assert_int_equal(phase_running(), 1);
    phase_begin(NULL);
    phase_begin(NULL); /* none runs: nothing ends */
    assert_int_equal(phase_running(), -1);
    log_listen(NULL);
    log_info("unheard");
    static const char *const expected[] = {"phase: read",  "info: 3 spots", "resumed: from here",
                                           "warning: odd", "phase: write",  "phase: ended"};
    assert_int_equal(heard.n, sizeof expected / sizeof *expected);
    for (int i = 0; i < heard.n; i++)
        assert_string_equal(heard.what[i], expected[i]);
    assert_true(phase_memory(0) > 0.0 && phase_memory(1) >= phase_memory(0));
    log_clear_warnings();
}

static void memory_grows(void **state)
{
    (void)state;
    double before = peak_memory_bytes();
    size_t size = (size_t)before + ((size_t)8 << 20); /* more than ever was in use */
    char *block = malloc(size);
    assert_non_null(block);
    for (size_t i = 0; i < size; i += 4096)
        ((volatile char *)block)[i] = 1;
    assert_true(peak_memory_bytes() >= before + 8e6);
    free(block);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "--work")) {
        work_and_tell();
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(progress_is_redrawn),    cmocka_unit_test(what_was_done_before_does_not_count),
        cmocka_unit_test(terminal_behind_mpirun), cmocka_unit_test(who_speaks),
        cmocka_unit_test(progress_lines),         cmocka_unit_test(phases),
        cmocka_unit_test(a_listener_hears_all),   cmocka_unit_test(memory_grows),
    };
    SUITE(argc, argv, tests);
}
