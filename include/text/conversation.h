/*
 * text/conversation.h: one row of a chat data set, before any template.
 *
 * Messages alternate: even positions are the user's side (user or
 * observation), odd ones the assistant's (assistant or function); the last is
 * the reply that training is about. Content is UTF-8 without a zero byte that
 * need be relied on: len counts, the zero after it is a convenience.
 *
 * A function message holds JSON: {"name": ..., "arguments": ...} or a list of
 * such objects (a thought or <tool_call> marks may stand around it, see
 * text/template.h). tools is the text of a JSON list of tool descriptions.
 *
 * The same struct is reused row after row: conversation_reset() empties it and
 * keeps its memory. Zero-initialise before first use. Local.
 */
#ifndef TEXT_CONVERSATION_H
#define TEXT_CONVERSATION_H

#include <stddef.h>

#include "base/error.h"

enum role { ROLE_USER, ROLE_ASSISTANT, ROLE_OBSERVATION, ROLE_FUNCTION };

struct message {
    enum role role;
    char *content; // owned, zero-terminated
    size_t len;    // bytes
    size_t cap;    // bytes reserved
};

struct conversation {
    struct message *messages; // [count]
    int count;
    int reserved; // messages whose memory is kept for reuse
    size_t cap;   // room in messages
    char *system; // owned; NULL or "": the template's default applies
    char *tools;  // owned; JSON text; NULL or "": none
};

/* Adds a message with a copy of content; len in bytes. */
int conversation_add(struct conversation *conv, enum role role, const char *content, size_t len,
                     struct error *err);

/* Copies; NULL removes. */
int conversation_set_system(struct conversation *conv, const char *text, struct error *err);
int conversation_set_tools(struct conversation *conv, const char *json, struct error *err);

/* No messages, no system text, no tools; memory is kept. */
void conversation_reset(struct conversation *conv);

void conversation_release(struct conversation *conv);

#endif
