/*
 * template_encode.c: a conversation's ids and labels.
 *
 * Two passes: first every message becomes ids, whole, in template's scratch;
 * then the turns are cut to cutoff_len and copied out with their labels.
 */
#include "template_internal.h"

#include <string.h>

#include "base/mem.h"

#define THOUGHT_OPEN  "<think>\n"
#define THOUGHT_CLOSE "\n</think>\n\n"
#define THOUGHT_EMPTY THOUGHT_OPEN THOUGHT_CLOSE
#define INDEX_MARK    "{{idx}}"

size_t span_find(struct span in, size_t from, const char *needle)
{
    size_t n = strlen(needle);

    while (from + n <= in.len) {
        const char *hit = memchr(in.text + from, needle[0], in.len - n - from + 1);
        if (hit == NULL)
            break;
        if (memcmp(hit, needle, n) == 0)
            return (size_t)(hit - in.text);
        from = (size_t)(hit - in.text) + 1;
    }
    return in.len;
}

int span_between(struct span in, size_t from, const char *open, const char *close, size_t *start,
                 size_t *end)
{
    size_t tail;

    *start = span_find(in, from, open);
    if (*start == in.len)
        return 0;
    tail = span_find(in, *start + strlen(open), close);
    if (tail == in.len)
        return 0;
    *end = tail + strlen(close);
    return 1;
}

void span_add_without(struct strbuf *out, struct span in, struct span what)
{
    size_t pos = 0;

    while (pos < in.len) {
        if (in.len - pos >= what.len && memcmp(in.text + pos, what.text, what.len) == 0)
            pos += what.len;
        else
            strbuf_putc(out, in.text[pos++]);
    }
}

static struct span span_of(const struct strbuf *sb)
{
    return (struct span){ strbuf_text(sb), sb->len };
}

/* t->text holds one piece: INDEX_MARK becomes the turn's number, once, when turn is not -1. */
static int encode_piece(struct template *t, int turn, struct error *err)
{
    struct span piece = span_of(&t->text);
    size_t at = turn < 0 ? piece.len : span_find(piece, 0, INDEX_MARK);
    struct strbuf numbered = { 0 };
    int rc;

    if (strbuf_check(&t->text, err) < 0)
        return -1;
    if (at < piece.len) {
        size_t after = at + strlen(INDEX_MARK);
        strbuf_add(&numbered, piece.text, at);
        strbuf_printf(&numbered, "%d", turn);
        strbuf_add(&numbered, piece.text + after, piece.len - after);
        piece = span_of(&numbered);
    }
    rc = strbuf_check(&numbered, err);
    if (rc == 0 && piece.len > 0)
        rc = tokenizer_encode(t->tok, piece.text, piece.len, t->split_special_tokens, &t->all, err);
    strbuf_release(&numbered);
    return rc;
}

/* Puts content into one piece of a text. */
static void fill_piece(struct strbuf *out, const char *piece, size_t len, struct span content)
{
    const char *mark = memchr(piece, MARK_C, len);
    size_t head = mark != NULL ? (size_t)(mark - piece) : len;

    strbuf_reset(out);
    strbuf_add(out, piece, head);
    if (mark != NULL) {
        strbuf_add(out, content.text, content.len);
        strbuf_add(out, mark + 1, len - head - 1);
    }
}

/* Appends the ids of a text of the row with its content to t->all. turn: see encode_piece(). */
static int encode_text(struct template *t, const char *text, struct span content, int turn,
                       struct error *err)
{
    while (*text != '\0') {
        size_t len = strcspn(text, MARK_CUTS);
        int32_t id = -1;
        if (len > 0) {
            fill_piece(&t->text, text, len, content);
            if (encode_piece(t, turn, err) < 0)
                return -1;
            text += len;
            continue;
        }
        id = *text == MARK_BOS ? tokenizer_bos(t->tok) : tokenizer_eos(t->tok);
        if (id >= 0 && token_list_add(&t->all, id, err) < 0)
            return -1;
        text++;
    }
    return 0;
}

static int encode_empty_thought(struct template *t, struct error *err)
{
    return tokenizer_encode(t->tok, THOUGHT_EMPTY, strlen(THOUGHT_EMPTY), t->split_special_tokens,
                            &t->all, err);
}

/* t->head: system text and tools; *has says whether there is any. */
static int make_head(struct template *t, const struct conversation *conv, int *has,
                     struct error *err)
{
    int own = conv->system != NULL && conv->system[0] != '\0';
    int tools = conv->tools != NULL && conv->tools[0] != '\0';
    const char *system = own ? conv->system : t->default_system;

    strbuf_reset(&t->head);
    strbuf_puts(&t->head, system);
    *has = tools || system[0] != '\0';
    if (tools && tools_describe(&t->head, t->describe, t->tool_date, conv->tools, err) < 0)
        return -1;
    return strbuf_check(&t->head, err);
}

/* Prefix and system text; in joined templates the latter is left in t->body for the user. */
static int encode_head(struct template *t, const struct conversation *conv, struct error *err)
{
    int has;

    strbuf_reset(&t->body);
    if (encode_text(t, t->prefix, (struct span){ "", 0 }, -1, err) < 0 ||
        make_head(t, conv, &has, err) < 0)
        return -1;
    if (!has)
        return 0;
    if (!(t->row->flags & ROW_JOINED))
        return encode_text(t, t->system, span_of(&t->head), -1, err);
    fill_piece(&t->body, t->system, strcspn(t->system, MARK_CUTS), span_of(&t->head));
    return strbuf_check(&t->body, err);
}

/* in without thoughts and without the newlines that then lead. */
static void remove_thoughts(struct strbuf *out, struct span in)
{
    size_t pos = 0, start, end, lead = 0;

    strbuf_reset(out);
    while (span_between(in, pos, THOUGHT_OPEN, THOUGHT_CLOSE, &start, &end)) {
        strbuf_add(out, in.text + pos, start - pos);
        pos = end;
    }
    strbuf_add(out, in.text + pos, in.len - pos);
    while (lead < out->len && out->text[lead] == '\n')
        lead++;
    if (lead > 0) {
        memmove(out->text, out->text + lead, out->len - lead + 1);
        out->len -= lead;
    }
}

/* t->body: what a function message's text is filled with. */
static int make_function(struct template *t, struct span content, struct error *err)
{
    size_t start, end;
    struct span json = content, call = { 0 };
    struct strbuf rest = { 0 };
    int marks = !(t->row->flags & ROW_JOINED), rc;

    strbuf_reset(&t->body);
    if (marks && span_between(content, 0, "<tool_call>", "</tool_call>", &start, &end)) {
        call = (struct span){ content.text + start, end - start };
        span_add_without(&t->body, content, call);
        json = (struct span){ call.text + strlen("<tool_call>"),
                              call.len - strlen("<tool_call></tool_call>") };
    } else if (marks && span_between(content, 0, THOUGHT_OPEN, THOUGHT_CLOSE, &start, &end)) {
        struct span thought = { content.text + start, end - start };
        span_add_without(&rest, content, thought);
        json = span_of(&rest);
        strbuf_add(&t->body, thought.text, thought.len);
    }
    rc = strbuf_check(&rest, err);
    if (rc == 0)
        rc = tools_call(&t->body, t->call, json, err);
    strbuf_release(&rest);
    return rc < 0 ? -1 : strbuf_check(&t->body, err);
}

/* A message of the user's side; in a joined template the head stands in t->body. */
static int encode_left(struct template *t, const struct message *m, int turn, struct error *err)
{
    struct span content = { m->content, m->len };

    if (m->role == ROLE_OBSERVATION)
        return encode_text(t, t->observation, content, -1, err);
    if (!(t->row->flags & ROW_JOINED))
        return encode_text(t, t->user, content, turn, err);
    if (turn == 0) {
        strbuf_add(&t->body, m->content, m->len);
        if (strbuf_check(&t->body, err) < 0)
            return -1;
        content = span_of(&t->body);
    }
    return encode_text(t, t->user, content, -1, err);
}

static int encode_right(struct template *t, enum role role, struct span content, struct error *err)
{
    if (role != ROLE_FUNCTION)
        return encode_text(t, t->assistant, content, -1, err);
    if (make_function(t, content, err) < 0)
        return -1;
    return encode_text(t, t->function, span_of(&t->body), -1, err);
}

/* Whether the thoughts of the reply of this turn are removed. */
static int drops_thoughts(const struct template *t, int turn, int turns)
{
    int history = t->mask_history && !t->preserve_thinking && turn < turns - 1;

    return (t->row->flags & ROW_THINKS) && (t->enable_thinking == 0 || history);
}

/* Whether a reply is given an empty thought: it has no mark, and its turn may get one. */
static int lacks_thought(const struct template *t, struct span reply, int turn, int turns)
{
    if (!(t->row->flags & ROW_THINKS))
        return 0;
    if (t->mask_history && !t->preserve_thinking && turn < turns - 1)
        return 0;
    return span_find(reply, 0, "<think>") == reply.len &&
           span_find(reply, 0, "</think>") == reply.len;
}

static int encode_turn(struct template *t, const struct conversation *conv, int turn,
                       struct error *err)
{
    const struct message *left = &conv->messages[2 * turn], *right = left + 1;
    struct span reply = { right->content, right->len };
    int turns = conv->count / 2, thought;

    if (drops_thoughts(t, turn, turns)) {
        remove_thoughts(&t->reply, reply);
        if (strbuf_check(&t->reply, err) < 0)
            return -1;
        reply = span_of(&t->reply);
    }
    thought = lacks_thought(t, reply, turn, turns);
    if (turn == 0 && encode_head(t, conv, err) < 0)
        return -1;
    if (encode_left(t, left, turn, err) < 0 ||
        (thought && t->enable_thinking != 1 && encode_empty_thought(t, err) < 0))
        return error_wrap(err, "message %d", 2 * turn + 1);
    t->bounds[2 * turn + 1] = t->all.n;
    if ((thought && t->enable_thinking == 1 && encode_empty_thought(t, err) < 0) ||
        encode_right(t, right->role, reply, err) < 0)
        return error_wrap(err, "message %d", 2 * turn + 2);
    t->bounds[2 * turn + 2] = t->all.n;
    return 0;
}

void template_fit(size_t *source, size_t *target, size_t budget)
{
    size_t s = *source, n = *target, limit;

    if (n * 2 < budget)
        limit = budget;
    else if (s * 2 < budget)
        limit = budget - s;
    else
        limit = (size_t)((double)budget * ((double)n / (double)(s + n)));
    *target = limit < n ? limit : n;
    *source = budget - *target < s ? budget - *target : s;
}

static int add_labels(struct token_list *labels, const int32_t *v, size_t n, int labelled,
                      struct error *err)
{
    if (labelled)
        return token_list_extend(labels, v, n, err);
    for (size_t i = 0; i < n; i++)
        if (token_list_add(labels, TEMPLATE_NO_LABEL, err) < 0)
            return -1;
    return 0;
}

/* One turn, cut to source and target tokens. first: the turn that is taken first. */
static int copy_turn(struct template *t, int turn, const size_t fit[2], int first,
                     struct token_list *ids, struct token_list *labels, struct error *err)
{
    const int32_t *left = t->all.v + t->bounds[2 * turn];
    const int32_t *right = t->all.v + t->bounds[2 * turn + 1];
    size_t from = labels->n;

    if (token_list_extend(ids, left, fit[0], err) < 0 ||
        token_list_extend(ids, right, fit[1], err) < 0 ||
        add_labels(labels, left, fit[0], t->train_on_prompt, err) < 0 ||
        add_labels(labels, right, fit[1], !t->mask_history || first, err) < 0)
        return -1;
    if ((t->row->flags & ROW_EFFICIENT_EOS) && !first && fit[0] > 0)
        labels->v[from] = tokenizer_eos(t->tok);
    return 0;
}

/* t->bounds -> how much of each turn stays, in place: [2 * turn] source, [2 * turn + 1] target. */
static int copy_turns(struct template *t, int turns, struct token_list *ids,
                      struct token_list *labels, struct error *err)
{
    size_t total = t->row->flags & ROW_EFFICIENT_EOS ? 1 : 0;
    size_t *fits = t->bounds + 2 * (size_t)turns + 1;
    int kept = 0;

    for (; kept < turns && total < t->cutoff_len; kept++) {
        int turn = t->mask_history ? turns - 1 - kept : kept;
        size_t *fit = fits + 2 * (size_t)turn;
        fit[0] = t->bounds[2 * turn + 1] - t->bounds[2 * turn];
        fit[1] = t->bounds[2 * turn + 2] - t->bounds[2 * turn + 1];
        template_fit(&fit[0], &fit[1], t->cutoff_len - total);
        total += fit[0] + fit[1];
    }
    for (int i = 0; i < kept; i++) {
        int turn = t->mask_history ? turns - kept + i : i;
        int first = turn == (t->mask_history ? turns - 1 : 0);
        if (copy_turn(t, turn, fits + 2 * (size_t)turn, first, ids, labels, err) < 0)
            return -1;
    }
    if (t->row->flags & ROW_EFFICIENT_EOS)
        return token_list_add(ids, tokenizer_eos(t->tok), err) < 0
                   ? -1
                   : token_list_add(labels, tokenizer_eos(t->tok), err);
    return 0;
}

static int check_messages(const struct template *t, const struct conversation *conv,
                          struct error *err)
{
    static const char *const media[] = { "<image>", "<video>", "<audio>" };

    if (conv->count < 2 || conv->count % 2 != 0)
        return error_set(err, "%d messages; there must be an even number, 2 or more", conv->count);
    for (int i = 0; i < conv->count; i++) {
        const struct message *m = &conv->messages[i];
        int right = m->role == ROLE_ASSISTANT || m->role == ROLE_FUNCTION;
        if (right != i % 2)
            return error_set(err, "message %d is on the %s side, where the %s is due", i + 1,
                             right ? "assistant's" : "user's", right ? "user" : "assistant");
        for (size_t k = 0; (t->row->flags & ROW_MEDIA) && k < 3; k++)
            if (span_find((struct span){ m->content, m->len }, 0, media[k]) < m->len)
                return error_set(err, "message %d has '%s' and no such medium goes with it", i + 1,
                                 media[k]);
    }
    return 0;
}

int template_encode(struct template *t, const struct conversation *conv, struct token_list *ids,
                    struct token_list *labels, struct error *err)
{
    size_t ids_n = ids->n, labels_n = labels->n;
    int turns = conv->count / 2;

    if (check_messages(t, conv, err) < 0 ||
        mem_grow(&t->bounds, &t->bounds_cap, size_add(size_mul(4, (size_t)turns), 1),
                 sizeof(*t->bounds), err) < 0)
        return -1;
    t->all.n = 0;
    t->bounds[0] = 0;
    for (int turn = 0; turn < turns; turn++)
        if (encode_turn(t, conv, turn, err) < 0)
            return -1;
    if (copy_turns(t, turns, ids, labels, err) < 0) {
        ids->n = ids_n;
        labels->n = labels_n;
        return -1;
    }
    return 0;
}
