/*
 * text/template.h: from a conversation to ids and labels, for stage sft.
 *
 * A template is one row of a table: texts with a place for the content, said
 * once for the system text, the user, the assistant, a function call and an
 * observation. Each text is tokenised alone, without automatic special tokens,
 * and the ids are joined: merges never cross from one text into the next.
 * Joined templates (llama2, mistral, gemma) put the system text inside the
 * first user message before tokenising.
 *
 * Ids and labels equal those of LLaMA-Factory 0.9.5 (SupervisedDatasetProcessor
 * with the same template, tokenizer and arguments):
 *
 *   turn 0      prefix, system text, user message | reply
 *   turn t      user message or observation       | reply or function call
 *
 * - System text: the row's own, else default_system of the parameters, else
 *   the template's; then the text of the tools. Left out when there is neither
 *   text nor tools.
 * - Labels: -100 (TEMPLATE_NO_LABEL) on the left side, the ids on the right.
 *   train_on_prompt labels the left side too; mask_history only the last reply.
 * - Length: turns are taken in order until cutoff_len is reached (last to first
 *   under mask_history); template_fit() says how a turn is cut.
 * - efficient_eos templates (gemma2, ...) end with one eos for the whole row,
 *   and the left side of every later turn has the eos as its first label.
 * - Thinking (qwen3, qwen3_vl): a reply without a thought gets an empty one,
 *   <think>\n\n</think>\n\n, labelled when enable_thinking is 1, and at the end
 *   of the left side, not labelled, when it is 0 or -1. With 0 thoughts in
 *   replies are removed first. mask_history without preserve_thinking removes
 *   the thoughts of earlier replies.
 * - The text {{idx}} in a user message becomes the number of the turn, once, as
 *   there (joined templates excepted).
 *
 * Where it departs, on purpose: LLaMA-Factory gives a stop word that the
 * tokenizer lacks a new id, for which the embedding has no row. Here such a
 * word is an error when it is to be the eos or the template writes it, and is
 * left out with a warning when not (<|eom_id|> before Llama 3.1). The llama3
 * tool format takes its date from the parameters, not from the clock.
 *
 * Local. A struct template has scratch memory: one thread at a time.
 */
#ifndef TEXT_TEMPLATE_H
#define TEXT_TEMPLATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"
#include "text/conversation.h"
#include "text/tokenizer.h"

#define TEMPLATE_NO_LABEL (-100)

/* The date that Llama 3.1's own chat template writes when it is given none. */
#define TEMPLATE_TOOL_DATE "26 Jul 2024"

struct template_params {
    const char *name; // row of the table; NULL: `empty`, unless model_folder has a chat template
    const char *model_folder;   // only looked at when name is NULL; may be NULL
    int cutoff_len;             // most tokens of a row, 1 and up
    int train_on_prompt;        // 0 or 1; not with mask_history or an efficient_eos template
    int mask_history;           // 0 or 1
    int enable_thinking;        // 1, 0 or -1 for null; only thinking templates look at it
    int preserve_thinking;      // 0 or 1; the same
    const char *default_system; // NULL: the template's own; "": none
    const char *tool_format;    // NULL: the template's own; default, llama3, mistral, qwen
    const char *tool_date;      // day as the llama3 tool format writes it ("25 Nov 2026"); NULL:
                                // TEMPLATE_TOOL_DATE. LLaMA-Factory writes the day of the run
    int split_special_tokens;   // 0 or 1: special-token text is ordinary text
};

struct template;

/*
 * Looks the template up and applies its rules to the tokenizer: the first stop
 * word becomes the eos where the template says so, other stop words become
 * special tokens, a tokenizer without eos gets <|endoftext|>, one without pad
 * uses its eos. Copies params; keeps tok.
 *
 * Errors: unknown name (with the nearest one and the list), no name although
 * the model has a chat template, unknown tool_format, an end token that the
 * tokenizer lacks, parameters that exclude each other.
 */
int template_open(struct template **tmpl, const struct template_params *params,
                  struct tokenizer *tok, struct error *err);

/*
 * Appends the row's ids to ids and as many labels to labels. At most
 * cutoff_len; never fewer than one unless all texts are empty.
 *
 * Errors: not an even number of messages, a function message or tools that are
 * not the JSON they should be, text that is not UTF-8, out of memory. Both
 * lists are then as before.
 */
int template_encode(struct template *tmpl, const struct conversation *conv, struct token_list *ids,
                    struct token_list *labels, struct error *err);

/* Hash of everything that decides ids and labels: template, parameters, tokenizer. */
struct hash template_hash(const struct template *tmpl);

/* The name in use: `empty` when none was given. */
const char *template_name(const struct template *tmpl);

void template_close(struct template *tmpl);

/* Name of the i-th template, in alphabetical order; NULL past the end. */
const char *template_table_name(int i);

/*
 * How many of source and target tokens stay within a budget of at least 1, both
 * from their start:
 *
 *     limit  = budget                      if 2 target < budget
 *            = budget - source             else if 2 source < budget
 *            = floor(budget * (target / (source + target)))   else, in double
 *     target' = min(limit, target), source' = min(max(budget - target', 0), source)
 */
void template_fit(size_t *source, size_t *target, size_t budget);

#endif
