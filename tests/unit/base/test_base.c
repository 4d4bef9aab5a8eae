/*
 * What every layer stands on: messages, sizes, memory, strings, files, random
 * numbers, hashes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/available.h"
#include "base/edit_distance.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/strbuf.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/lowrank-base-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    struct error err;

    (void)state;
    return folder_remove(folder, &err);
}

static const char *in_folder(const char *name)
{
    static char path[2][128];
    static int turn;

    turn = !turn;
    (void)snprintf(path[turn], sizeof(path[turn]), "%s/%s", folder, name);
    return path[turn];
}

static void a_wrapped_message_reads_from_outside_in(void **state)
{
    struct error err;

    (void)state;
    assert_int_equal(error_set(&err, "line %d: no field '%s'", 12, "messages"), -1);
    assert_int_equal(error_wrap(&err, "cannot read '%s'", "a.jsonl"), -1);
    assert_string_equal(err.msg, "cannot read 'a.jsonl': line 12: no field 'messages'");
}

static void a_long_message_is_cut_between_characters(void **state)
{
    struct error err;
    char text[ERROR_MSG_MAX + 8];

    (void)state;
    for (int shift = 0; shift < 3; shift++) {
        size_t len;

        memset(text, 'x', sizeof(text));
        for (int i = shift; i + 3 < ERROR_MSG_MAX + 4; i += 3)
            memcpy(text + i, "\xE2\x82\xAC", 3);
        text[ERROR_MSG_MAX + 4] = '\0';
        (void)error_set(&err, "%s", text);
        len = strlen(err.msg);
        assert_true(len >= ERROR_MSG_MAX - 4 && len < ERROR_MSG_MAX);
        assert_int_equal((len - (size_t)shift) % 3, 0);
    }
}

static void sizes_saturate_and_hostile_ones_are_no_memory(void **state)
{
    struct error err;

    (void)state;
    assert_int_equal(size_mul(SIZE_MAX / 2, 3), SIZE_MAX);
    assert_int_equal(size_mul3(1 << 20, (size_t)1 << 40, 1 << 10), SIZE_MAX);
    assert_int_equal(size_add(SIZE_MAX, 1), SIZE_MAX);
    assert_int_equal(size_mul3(3, 5, 7), 105);
    assert_null(mem_alloc((size_t)1 << 40, (size_t)1 << 40, &err));
    assert_non_null(strstr(err.msg, "out of memory"));
}

static void a_string_grows_and_remembers_failure(void **state)
{
    struct strbuf sb = { 0 };
    struct error err;

    (void)state;
    assert_string_equal(strbuf_text(&sb), "");
    for (int i = 0; i < 1000; i++)
        strbuf_printf(&sb, "%d,", i);
    strbuf_putc(&sb, '!');
    assert_int_equal(strbuf_check(&sb, &err), 0);
    assert_int_equal(strlen(sb.text), sb.len);
    assert_string_equal(sb.text + sb.len - 5, "999,!");
    sb.failed = 1;
    strbuf_puts(&sb, "more");
    assert_int_equal(strbuf_check(&sb, &err), -1);
    strbuf_reset(&sb);
    assert_int_equal(strbuf_check(&sb, &err), 0);
    strbuf_release(&sb);
}

static void an_arena_measures_what_it_then_gives(void **state)
{
    struct arena arena = { 0 };
    struct error err;
    size_t peak;
    char *a, *b;

    (void)state;
    assert_null(arena_take(&arena, 3, 5));
    assert_null(arena_take(&arena, 100, 4));
    peak = arena.peak;
    assert_int_equal(peak, 64 + ARENA_APART + 448);
    assert_int_equal(arena_open(&arena, peak, &err), 0);
    a = arena_take(&arena, 3, 5);
    b = arena_take(&arena, 100, 4);
    assert_int_equal((uintptr_t)a % ARENA_ALIGN, 0);
    assert_int_equal(b - a, 64 + ARENA_APART);
    for (int i = 0; i < 400; i++)
        assert_int_equal(b[i], 0);
    arena_rewind(&arena, 64);
    assert_ptr_equal(arena_take(&arena, 1, 1), b);
    arena_close(&arena);
}

static void a_file_is_written_whole_and_read_back(void **state)
{
    struct error err;
    char *text;
    size_t len;

    (void)state;
    assert_int_equal(file_write(in_folder("a"), "one\0two", 7, &err), 0);
    assert_int_equal(file_append(in_folder("a"), "+", 1, &err), 0);
    assert_int_equal(file_copy(in_folder("a"), in_folder("b"), &err), 0);
    assert_int_equal(file_read(in_folder("b"), &text, &len, &err), 0);
    assert_int_equal(len, 8);
    assert_memory_equal(text, "one\0two+", 9);
    free(text);
    assert_int_equal(file_read(in_folder("missing"), &text, &len, &err), -1);
    assert_non_null(strstr(err.msg, "missing"));
    assert_int_equal(file_read(folder, &text, &len, &err), -1);
    assert_non_null(strstr(err.msg, "not a regular file"));
}

static void a_read_beyond_the_end_is_an_error(void **state)
{
    struct error err;
    char buf[4];

    (void)state;
    assert_int_equal(file_write(in_folder("short"), "abcdef", 6, &err), 0);
    assert_int_equal(file_read_at(in_folder("short"), 2, buf, 4, &err), 0);
    assert_memory_equal(buf, "cdef", 4);
    assert_int_equal(file_read_at(in_folder("short"), 3, buf, 4, &err), -1);
    assert_int_equal(file_read_at(in_folder("short"), UINT64_MAX, buf, 4, &err), -1);
}

static void a_failed_write_leaves_the_old_file(void **state)
{
    struct error err;
    char **names, *text;
    size_t len;
    int count;

    (void)state;
    assert_int_equal(folder_make(in_folder("x/y/z"), &err), 0);
    assert_int_equal(file_write(in_folder("x/y/z/f"), "old", 3, &err), 0);
    assert_int_equal(file_write(in_folder("x/y/z/f/g"), "new", 3, &err), -1);
    assert_int_equal(file_read(in_folder("x/y/z/f"), &text, &len, &err), 0);
    assert_string_equal(text, "old");
    free(text);
    assert_int_equal(folder_names(in_folder("x/y/z"), &names, &count, &err), 0);
    assert_int_equal(count, 1);
    folder_names_free(names, count);
    assert_int_equal(folder_make(in_folder("x/y/z/f"), &err), -1);
    assert_int_equal(folder_remove(in_folder("x"), &err), 0);
    assert_false(file_exists(in_folder("x")));
    assert_int_equal(folder_remove(in_folder("x"), &err), 0);
}

static void paths_join(void **state)
{
    static const char *const cases[][3] = {
        { "a", "b", "a/b" }, { "a/", "b", "a/b" }, { "a", "/b", "/b" }, { "", "b", "b" }
    };
    struct error err;

    (void)state;
    for (int i = 0; i < 4; i++) {
        char *path = path_join(cases[i][0], cases[i][1], &err);

        assert_string_equal(path, cases[i][2]);
        free(path);
    }
}

/* Known answers of Random123 1.09 (kat_vectors, philox4x32 10). */
static void philox_gives_the_known_answers(void **state)
{
    static const uint32_t counters[3][4] = {
        { 0, 0, 0, 0 },
        { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
        { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
    };
    static const uint64_t keys[3] = { 0, 0xffffffffffffffff, 0x299f31d0a4093822 };
    static const uint32_t want[3][4] = {
        { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 },
        { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd },
        { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 },
    };

    (void)state;
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];

        rng_philox(out, keys[i], counters[i]);
        assert_memory_equal(out, want[i], sizeof(out));
    }
}

static void hashes_tell_contents_and_lengths_apart(void **state)
{
    struct hash a = hash_bytes("ab", 2), b = hash_bytes("ab\0", 3), from_file;
    struct hash ab_c = hash_chain(hash_bytes("ab", 2), "c", 1);
    struct hash a_bc = hash_chain(hash_bytes("a", 1), "bc", 2);
    struct error err;
    char text[HASH_TEXT_MAX];

    (void)state;
    assert_false(hash_equal(a, b));
    assert_false(hash_equal(ab_c, a_bc));
    assert_int_equal(file_write(in_folder("hashed"), "ab", 2, &err), 0);
    assert_int_equal(hash_file(&from_file, in_folder("hashed"), &err), 0);
    assert_true(hash_equal(a, from_file));
    hash_text(hash_bytes("", 0), text); // XXH3 128 of nothing, from xxHash's own sanity test
    assert_string_equal(text, "99aa06d3014798d86001c324468d497f");
}

/* Writes text to a file of the test's own root, and makes the folders above it. */
static void plant(const char *path, const char *text)
{
    char whole[512];
    struct error err;

    (void)snprintf(whole, sizeof(whole), "%s/root%s", folder, path);
    for (char *at = whole + strlen(folder) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        assert_int_equal(folder_make(whole, &err), 0);
        *at = '/';
    }
    assert_int_equal(file_write(whole, text, strlen(text), &err), 0);
}

static void memory_is_limited_by_the_node_and_by_control_groups(void **state)
{
    const char *root = in_folder("root");

    (void)state;
    assert_int_equal(available_bytes(root), 0);
    plant("/proc/meminfo", "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n");
    assert_int_equal(available_bytes(root), 8000 * 1024);
    plant("/proc/self/cgroup", "0::/job_7/step_0\n");
    plant("/sys/fs/cgroup/job_7/step_0/memory.max", "max\n");
    assert_int_equal(available_bytes(root), 8000 * 1024);
    plant("/sys/fs/cgroup/job_7/memory.max", "4096000\n"); // of the group above
    assert_int_equal(available_bytes(root), 4096000);
    plant("/sys/fs/cgroup/job_8/memory.max", "1\n"); // another job's
    assert_int_equal(available_bytes(root), 4096000);
    plant("/proc/self/cgroup", "11:cpuset:/x\n4:memory:/slurm/job_7\n0::/\n");
    assert_int_equal(available_bytes(root), 8000 * 1024);
    plant("/sys/fs/cgroup/memory/slurm/job_7/memory.limit_in_bytes", "2048000\n");
    assert_int_equal(available_bytes(root), 2048000);
    plant("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_int_equal(available_bytes(root), 2048000);
}

static void misspelt_names_are_so_far_from_what_was_meant(void **state)
{
    char long_a[101], long_b[101];

    (void)state;
    assert_int_equal(edit_distance("", ""), 0);
    assert_int_equal(edit_distance("lora_rank", "lora_rank"), 0);
    assert_int_equal(edit_distance("", "abc"), 3);
    assert_int_equal(edit_distance("abc", ""), 3);
    assert_int_equal(edit_distance("lora_rnk", "lora_rank"), 1); // one is missing
    assert_int_equal(edit_distance("lora_rannk", "lora_rank"), 1);
    assert_int_equal(edit_distance("lora_rink", "lora_rank"), 1);
    assert_int_equal(edit_distance("lora_rakn", "lora_rank"), 1); // neighbours, swapped
    assert_int_equal(edit_distance("kitten", "sitting"), 3);
    memset(long_a, 'a', 100);
    memset(long_b, 'a', 100);
    long_a[100] = long_b[100] = '\0';
    long_b[EDIT_DISTANCE_MAX] = 'b'; // beyond what is compared
    assert_int_equal(edit_distance(long_a, long_b), 0);
    long_b[EDIT_DISTANCE_MAX - 1] = 'b';
    assert_int_equal(edit_distance(long_a, long_b), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_limited_by_the_node_and_by_control_groups),
        cmocka_unit_test(a_wrapped_message_reads_from_outside_in),
        cmocka_unit_test(a_long_message_is_cut_between_characters),
        cmocka_unit_test(sizes_saturate_and_hostile_ones_are_no_memory),
        cmocka_unit_test(a_string_grows_and_remembers_failure),
        cmocka_unit_test(an_arena_measures_what_it_then_gives),
        cmocka_unit_test(a_file_is_written_whole_and_read_back),
        cmocka_unit_test(a_read_beyond_the_end_is_an_error),
        cmocka_unit_test(a_failed_write_leaves_the_old_file),
        cmocka_unit_test(paths_join),
        cmocka_unit_test(philox_gives_the_known_answers),
        cmocka_unit_test(hashes_tell_contents_and_lengths_apart),
        cmocka_unit_test(misspelt_names_are_so_far_from_what_was_meant),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
