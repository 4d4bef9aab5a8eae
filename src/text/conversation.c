/*
 * conversation.c: the messages of one row, with memory that is used again.
 */
#include "text/conversation.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

int conversation_add(struct conversation *conv, enum role role, const char *content, size_t len,
                     struct error *err)
{
    size_t need = (size_t)conv->count + 1;
    struct message *m;

    if (mem_grow(&conv->messages, &conv->cap, need, sizeof(*conv->messages), err) < 0)
        return -1;
    m = &conv->messages[conv->count];
    if (conv->count == conv->reserved) {
        *m = (struct message){ 0 };
        conv->reserved++;
    }
    if (mem_grow(&m->content, &m->cap, size_add(len, 1), 1, err) < 0)
        return -1;
    if (len > 0)
        memcpy(m->content, content, len);
    m->content[len] = '\0';
    m->len = len;
    m->role = role;
    conv->count++;
    return 0;
}

static int set_text(char **text, const char *value, struct error *err)
{
    char *copy = NULL;

    if (value != NULL && (copy = mem_strdup(value, err)) == NULL)
        return -1;
    free(*text);
    *text = copy;
    return 0;
}

int conversation_set_system(struct conversation *conv, const char *text, struct error *err)
{
    return set_text(&conv->system, text, err);
}

int conversation_set_tools(struct conversation *conv, const char *json, struct error *err)
{
    return set_text(&conv->tools, json, err);
}

void conversation_reset(struct conversation *conv)
{
    free(conv->system);
    free(conv->tools);
    conv->system = NULL;
    conv->tools = NULL;
    conv->count = 0;
}

void conversation_release(struct conversation *conv)
{
    for (int i = 0; i < conv->reserved; i++)
        free(conv->messages[i].content);
    free(conv->messages);
    free(conv->system);
    free(conv->tools);
    *conv = (struct conversation){ 0 };
}
