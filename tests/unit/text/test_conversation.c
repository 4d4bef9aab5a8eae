/*
 * text/conversation: what is put in comes out, and memory is used again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text/conversation.h"

static struct error err;

static void a_conversation_keeps_copies_of_its_texts(void **state)
{
    struct conversation conv = { 0 };
    char text[] = "one\0two";

    (void)state;
    assert_int_equal(conversation_add(&conv, ROLE_USER, text, 7, &err), 0);
    assert_int_equal(conversation_add(&conv, ROLE_FUNCTION, NULL, 0, &err), 0);
    assert_int_equal(conversation_set_system(&conv, text, &err), 0);
    memset(text, 'x', 7);
    assert_int_equal(conv.count, 2);
    assert_int_equal(conv.messages[0].len, 7);
    assert_memory_equal(conv.messages[0].content, "one\0two", 8);
    assert_int_equal(conv.messages[1].role, ROLE_FUNCTION);
    assert_string_equal(conv.messages[1].content, "");
    assert_string_equal(conv.system, "one");
    assert_null(conv.tools);
    conversation_release(&conv);
}

static void a_reset_conversation_is_empty_and_usable(void **state)
{
    struct conversation conv = { 0 };
    char longer[1000];

    (void)state;
    memset(longer, 'a', sizeof(longer));
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 20 - 7 * round; i++)
            assert_int_equal(conversation_add(&conv, i % 2 ? ROLE_ASSISTANT : ROLE_USER, longer,
                                              (size_t)(i * (round + 1)), &err),
                             0);
        assert_int_equal(conversation_set_tools(&conv, "[]", &err), 0);
        assert_int_equal(conv.messages[5].len, 5 * (round + 1));
        assert_int_equal(conv.messages[5].content[5 * (round + 1)], 0);
        conversation_reset(&conv);
        assert_int_equal(conv.count, 0);
        assert_null(conv.tools);
    }
    conversation_release(&conv);
    conversation_release(&conv);
}

static void a_null_text_removes_the_one_before(void **state)
{
    struct conversation conv = { 0 };

    (void)state;
    assert_int_equal(conversation_set_system(&conv, "a", &err), 0);
    assert_int_equal(conversation_set_system(&conv, NULL, &err), 0);
    assert_null(conv.system);
    conversation_release(&conv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_conversation_keeps_copies_of_its_texts),
        cmocka_unit_test(a_reset_conversation_is_empty_and_usable),
        cmocka_unit_test(a_null_text_removes_the_one_before),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
