/* CSV records: quoting, line ends, gzip of several members, numbers and what is refused. */
#include "../../src/io/csv.h"

#include <math.h>
#include <string.h>
#include <zlib.h>

#include "support/suite.h"

static const char *write_plain(const char *name, const char *text)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s.%d", scratch_folder(), name, suite_rank());
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    return path;
}

static void append_member(const char *path, const char *text)
{
    gzFile file = gzopen(path, "ab");
    assert_non_null(file);
    gzputs(file, text);
    gzclose(file);
}

static void next_is(struct csv *csv, int64_t line, int n, ...)
{
    bool more;
    if (csv_next(csv, &more) != MONGE_OK)
        fail_msg("%s", error_message());
    assert_true(more);
    assert_int_equal(csv->line, line);
    assert_int_equal(csv->n_fields, n);
    va_list fields;
    va_start(fields, n);
    for (int i = 0; i < n; i++)
        assert_string_equal(csv->field[i], va_arg(fields, const char *));
    va_end(fields);
}

static void ends(struct csv *csv)
{
    bool more = true;
    assert_int_equal(csv_next(csv, &more), MONGE_OK);
    assert_false(more);
    csv_close(csv);
}

static void quotes_and_line_ends(void **state)
{
    (void)state;
    const char *path = write_plain("quoted.csv", ",x,y\r\n\"a,b\",\"say \"\"hi\"\"\",\n\n\"two\nlines\",5' 3\",z\n\"\",,\nlast,1,\"2\"");
    struct csv csv;
    assert_int_equal(csv_open(&csv, path), MONGE_OK);
    next_is(&csv, 1, 3, "", "x", "y");
    next_is(&csv, 2, 3, "a,b", "say \"hi\"", "");
    next_is(&csv, 4, 3, "two\nlines", "5' 3\"", "z");
    next_is(&csv, 6, 3, "", "", "");
    next_is(&csv, 7, 3, "last", "1", "2");
    ends(&csv);
}

static void gzip_of_several_members(void **state)
{
    (void)state;
    const char *path = write_plain("members.csv.gz", "");
    append_member(path, "a,b\n1,");
    append_member(path, "2\n3,4\n");
    append_member(path, "5,6\n");
    struct csv csv;
    assert_int_equal(csv_open(&csv, path), MONGE_OK);
    next_is(&csv, 1, 2, "a", "b");
    next_is(&csv, 2, 2, "1", "2");
    next_is(&csv, 3, 2, "3", "4");
    next_is(&csv, 4, 2, "5", "6");
    ends(&csv);
}

static void long_records(void **state)
{
    (void)state;
    static char text[200000];
    size_t length = 0;
    for (int i = 0; i < 30000; i++)
        length += (size_t)sprintf(text + length, "%s%d", i ? "," : "", i);
    struct csv csv;
    assert_int_equal(csv_open(&csv, write_plain("long.csv", text)), MONGE_OK);
    bool more;
    assert_int_equal(csv_next(&csv, &more), MONGE_OK);
    assert_int_equal(csv.n_fields, 30000);
    for (int i = 0; i < 30000; i += 77) {
        double value;
        assert_int_equal(csv_number(&csv, i, "column", &value), MONGE_OK);
        assert_true(value == i);
    }
    ends(&csv);
}

static void numbers_and_truths(void **state)
{
    (void)state;
    struct csv csv;
    assert_int_equal(csv_open(&csv, write_plain("numbers.csv", "1.5e-3,-7,,nan,NA,True,0,12x,maybe\n")), MONGE_OK);
    bool more, truth;
    double value;
    assert_int_equal(csv_next(&csv, &more), MONGE_OK);
    assert_int_equal(csv_number(&csv, 0, "x", &value), MONGE_OK);
    assert_true(value == 1.5e-3);
    assert_int_equal(csv_number(&csv, 1, "x", &value), MONGE_OK);
    assert_true(value == -7.0);
    for (int i = 2; i < 5; i++) {
        assert_int_equal(csv_number(&csv, i, "x", &value), MONGE_OK);
        assert_true(isnan(value));
    }
    assert_int_equal(csv_boolean(&csv, 5, "flag", &truth), MONGE_OK);
    assert_true(truth);
    assert_int_equal(csv_boolean(&csv, 6, "flag", &truth), MONGE_OK);
    assert_false(truth);
    assert_int_equal(csv_number(&csv, 7, "width", &value), MONGE_BAD_DATA);
    assert_non_null(strstr(error_message(), "line 1: width is '12x' instead of a number"));
    assert_int_equal(csv_boolean(&csv, 8, "flag", &truth), MONGE_BAD_DATA);
    assert_non_null(strstr(error_message(), "flag is 'maybe' instead of 0 or 1"));
    assert_int_equal(csv_number(&csv, 9, "height", &value), MONGE_BAD_DATA);
    assert_non_null(strstr(error_message(), "height (field 10) is missing"));
    csv_close(&csv);
}

static void damaged_files(void **state)
{
    (void)state;
    struct csv csv;
    bool more;
    assert_int_equal(csv_open(&csv, "/no/such/file.csv"), MONGE_NO_INPUT);
    assert_int_equal(csv_open(&csv, write_plain("open.csv", "a,\"b\nc")), MONGE_OK);
    assert_int_equal(csv_next(&csv, &more), MONGE_BAD_DATA);
    assert_non_null(strstr(error_message(), "line 1: a quote is never closed"));
    csv_close(&csv);

    char path[512], cut[512], bytes[65536];
    snprintf(path, sizeof path, "%s", write_plain("whole.csv.gz", ""));
    gzFile file = gzopen(path, "ab");
    uint64_t random = 1;
    for (int i = 0; i < 10000; i++) /* so little repeats that half of the compressed bytes give about half of the lines */
        gzprintf(file, "%llu,2\n", (unsigned long long)(random = random * 6364136223846793005u + 1442695040888963407u));
    gzclose(file);
    FILE *whole = fopen(path, "rb");
    size_t n = fread(bytes, 1, sizeof bytes, whole);
    fclose(whole);
    snprintf(cut, sizeof cut, "%s/cut.csv.gz.%d", scratch_folder(), suite_rank());
    FILE *half = fopen(cut, "wb");
    fwrite(bytes, 1, n / 2, half);
    fclose(half);
    assert_int_equal(csv_open(&csv, cut), MONGE_OK);
    status s = MONGE_OK;
    for (more = true; more && s == MONGE_OK;)
        s = csv_next(&csv, &more);
    assert_int_equal(s, MONGE_BAD_DATA);
    assert_non_null(strstr(error_message(), "truncated or damaged"));
    csv_close(&csv);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quotes_and_line_ends), cmocka_unit_test(gzip_of_several_members), cmocka_unit_test(long_records),
        cmocka_unit_test(numbers_and_truths),   cmocka_unit_test(damaged_files),
    };
    SUITE(argc, argv, tests);
}
