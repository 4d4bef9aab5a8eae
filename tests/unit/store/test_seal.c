/*
 * test_seal.c: the seal says what is wrong with a file in one message.
 *
 * Runs on one rank, without mpirun.
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

#include "base/file.h"
#include "store/store_internal.h"

static struct dist dist;
static char path[64];

static int start(void **state)
{
    struct error err;

    (void)state;
    (void)snprintf(path, sizeof(path), "/tmp/lowrank-seal-%ld", (long)getpid());
    return dist_open(&dist, &err);
}

static int stop(void **state)
{
    (void)state;
    (void)unlink(path);
    dist_close(&dist);
    return 0;
}

/* A sealed file of that many bytes, all of them 'x' behind the seal. */
static void make_sealed(size_t bytes)
{
    struct error err;
    struct hash hash;
    char *content = calloc(bytes, 1);

    assert_non_null(content);
    memset(content + SEAL_BYTES, 'x', bytes - SEAL_BYTES);
    assert_int_equal(file_write(path, content, bytes, &err), 0);
    free(content);
    assert_int_equal(seal_hash(&dist, path, bytes, &hash, &err), 0);
    assert_int_equal(seal_write(path, bytes, hash, 0, &err), 0);
}

static void check_refused(const char *reason)
{
    struct error err = { "" };
    struct hash hash;
    uint64_t bytes;

    assert_int_equal(seal_verify(&dist, path, &bytes, &hash, &err), -1);
    assert_non_null(strstr(err.msg, path));
    assert_non_null(strstr(err.msg, reason));
}

static void put(const char *content, size_t len)
{
    struct error err;

    assert_int_equal(file_write(path, content, len, &err), 0);
}

static void a_sealed_file_verifies_at_and_around_block_sizes(void **state)
{
    static const size_t bodies[] = { 1, 4095, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20 };

    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct error err;
        struct hash hash;
        uint64_t bytes;

        make_sealed(SEAL_BYTES + bodies[i]);
        assert_int_equal(seal_verify(&dist, path, &bytes, &hash, &err), 0);
        assert_int_equal(bytes, SEAL_BYTES + bodies[i]);
    }
}

static void every_kind_of_damage_has_its_message(void **state)
{
    char *content;
    size_t len;
    struct error err;
    char zeros[600] = { 0 };

    (void)state;
    (void)unlink(path);
    check_refused("No such file");
    put("", 0);
    check_refused("it is empty");
    put("lowrank", 7);
    check_refused("cut off after 7 bytes");
    put(zeros, sizeof(zeros));
    check_refused("never finished");
    memset(zeros, 'H', sizeof(zeros));
    put(zeros, sizeof(zeros));
    check_refused("not an HDF5 file that lowrank wrote");
    make_sealed(5000);
    assert_int_equal(file_read(path, &content, &len, &err), 0);
    put(content, 4000);
    check_refused("4000 bytes instead of 5000");
    content[4321] ^= 1;
    put(content, len);
    check_refused("does not match its checksum");
    content[4321] ^= 1;
    content[500] = 1; // between the seal's line and the content
    put(content, len);
    check_refused("does not match its checksum");
    free(content);
}

static void a_claimed_length_beyond_64_bits_is_refused(void **state)
{
    char content[600] = "lowrank h5file 1 bytes 99999999999999999999999999 xxh3 0\n";

    (void)state;
    put(content, sizeof(content));
    check_refused("600 bytes instead of");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sealed_file_verifies_at_and_around_block_sizes),
        cmocka_unit_test(every_kind_of_damage_has_its_message),
        cmocka_unit_test(a_claimed_length_beyond_64_bits_is_refused),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
