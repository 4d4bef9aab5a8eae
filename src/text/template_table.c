/*
 * template_table.c: the templates, one row each, in alphabetical order.
 *
 * Texts are those that the models were trained with, as LLaMA-Factory 0.9.5
 * registers them; tests/golden/make_templates.py holds every row against it.
 * A missing text is: system, user C; assistant C EOS; function as assistant;
 * observation as user.
 */
#include "template_internal.h"

#include <string.h>

#include "base/edit_distance.h"

#define CHATML_SYSTEM    "<|im_start|>system\n" C "<|im_end|>\n"
#define CHATML_USER      "<|im_start|>user\n" C "<|im_end|>\n<|im_start|>assistant\n"
#define CHATML_ASSISTANT C "<|im_end|>\n"
#define CHATML_TOOL      "<|im_start|>tool\n" C "<|im_end|>\n<|im_start|>assistant\n"
#define QWEN_TOOL                                  \
    "<|im_start|>user\n<tool_response>\n" C "\n</" \
    "tool_response><|im_end|>\n<|im_start|>assistant\n"

#define CHATML .system = CHATML_SYSTEM, .user = CHATML_USER, .assistant = CHATML_ASSISTANT
#define QWEN                                                                             \
    CHATML, .function = CHATML_ASSISTANT, .observation = QWEN_TOOL, .tools = TOOLS_QWEN, \
            .stops = { "<|im_end|>" }

#define GEMMA_USER "<start_of_turn>user\n" C "<end_of_turn>\n<start_of_turn>model\n"
#define GEMMA                                                                                \
    .prefix = BOS, .system = C "\n\n", .user = GEMMA_USER, .assistant = C "<end_of_turn>\n", \
    .observation = "<start_of_turn>tool\n" C "<end_of_turn>\n<start_of_turn>model\n"

#define LLAMA3_REPLY  "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
#define LLAMA3_SYSTEM "<|start_header_id|>system<|end_header_id|>\n\n" C "<|eot_id|>"
#define LLAMA3_USER   "<|start_header_id|>user<|end_header_id|>\n\n" C LLAMA3_REPLY
#define LLAMA3_TOOL   "<|start_header_id|>ipython<|end_header_id|>\n\n" C LLAMA3_REPLY

#define LLAMA2 .system = "<<SYS>>\n" C "\n<</SYS>>\n\n", .user = BOS "[INST] " C " [/INST]"

#define PHI                                                                                    \
    .system = "<|system|>\n" C "<|end|>\n", .user = "<|user|>\n" C "<|end|>\n<|assistant|>\n", \
    .assistant = C "<|end|>\n", .stops = { "<|end|>" }

#define VICUNA                                                                                   \
    .user = "USER: " C " ASSISTANT:",                                                            \
    .default_system = "A chat between a curious user and an artificial intelligence assistant. " \
                      "The assistant gives helpful, detailed, and polite answers to the user's " \
                      "questions."

const struct template_row template_rows[] = {
    { .name = "alpaca",
      .user = "### Instruction:\n" C "\n\n### Response:\n",
      .assistant = C EOS "\n\n",
      .default_system = "Below is an instruction that describes a task. Write a response that "
                        "appropriately completes the request.\n\n" },
    { .name = "chatml",
      CHATML,
      .observation = CHATML_TOOL,
      .stops = { "<|im_end|>", "<|im_start|>" },
      .flags = ROW_REPLACE_EOS },
    { .name = "deepseek", .prefix = BOS, .system = C "\n\n", .user = "User: " C "\n\nAssistant:" },
    { .name = "deepseek3", .prefix = BOS, .user = "<｜User｜>" C "<｜Assistant｜>" },
    { .name = "deepseekr1",
      .prefix = BOS,
      .user = "<｜User｜>" C "<｜Assistant｜>",
      .flags = ROW_THINKS },
    { .name = "default",
      .system = "System: " C EOS "\n",
      .user = "Human: " C EOS "\nAssistant:",
      .assistant = C EOS "\n" },
    { .name = "empty", .assistant = C },
    { .name = "gemma", GEMMA, .stops = { "<end_of_turn>" }, .flags = ROW_JOINED | ROW_REPLACE_EOS },
    { .name = "gemma2",
      GEMMA,
      .stops = { "<eos>", "<end_of_turn>" },
      .flags = ROW_JOINED | ROW_EFFICIENT_EOS },
    { .name = "gemma3",
      GEMMA,
      .stops = { "<end_of_turn>" },
      .flags = ROW_JOINED | ROW_REPLACE_EOS | ROW_MEDIA },
    { .name = "intern_vl",
      .prefix = BOS,
      CHATML,
      .default_system = "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、清华大学及多家"
                        "合作单位联合开发的多模态大语言模型。",
      .stops = { "<|im_end|>" },
      .flags = ROW_MEDIA },
    { .name = "llama2", LLAMA2, .flags = ROW_JOINED },
    { .name = "llama2_zh",
      LLAMA2,
      .default_system = "You are a helpful assistant. 你是一个乐于助人的助手。",
      .flags = ROW_JOINED },
    { .name = "llama3",
      .prefix = BOS,
      .system = LLAMA3_SYSTEM,
      .user = LLAMA3_USER,
      .assistant = C "<|eot_id|>",
      .function = C "<|eot_id|>",
      .observation = LLAMA3_TOOL,
      .stops = { "<|eot_id|>", "<|eom_id|>" },
      .tools = TOOLS_LLAMA3,
      .flags = ROW_REPLACE_EOS },
    { .name = "llava", VICUNA, .flags = ROW_MEDIA },
    { .name = "ministral",
      .prefix = BOS,
      .system = C "\n\n",
      .user = "[INST]" C "[/INST]",
      .function = "[TOOL_CALLS]" C EOS,
      .observation = "[TOOL_RESULTS]{\"content\": " C "}[/TOOL_RESULTS]",
      .tools = TOOLS_MISTRAL,
      .flags = ROW_JOINED },
    { .name = "mistral",
      .prefix = BOS,
      .system = C "\n\n",
      .user = "[INST] " C "[/INST]",
      .assistant = " " C EOS,
      .function = "[TOOL_CALLS] " C EOS,
      .observation = "[TOOL_RESULTS] {\"content\": " C "}[/TOOL_RESULTS]",
      .tools = TOOLS_MISTRAL,
      .flags = ROW_JOINED },
    { .name = "phi", PHI, .flags = ROW_REPLACE_EOS },
    { .name = "phi4",
      .system = "<|im_start|>system<|im_sep|>" C "<|im_end|>",
      .user = "<|im_start|>user<|im_sep|>" C "<|im_end|><|im_start|>assistant<|im_sep|>",
      .assistant = C "<|im_end|>",
      .stops = { "<|im_end|>" },
      .flags = ROW_REPLACE_EOS },
    { .name = "phi4_mini",
      .system = "<|system|>" C "<|end|>",
      .user = "<|user|>" C "<|end|><|assistant|>",
      .assistant = C "<|end|>",
      .stops = { "<|end|>" },
      .tools = TOOLS_PHI4_MINI,
      .flags = ROW_REPLACE_EOS },
    { .name = "phi_small", PHI, .flags = ROW_REPLACE_EOS },
    { .name = "qwen",
      QWEN,
      .default_system = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
      .flags = ROW_REPLACE_EOS },
    { .name = "qwen2_vl",
      QWEN,
      .default_system = "You are a helpful assistant.",
      .flags = ROW_REPLACE_EOS | ROW_MEDIA },
    { .name = "qwen3", QWEN, .flags = ROW_REPLACE_EOS | ROW_THINKS },
    { .name = "qwen3_nothink", QWEN, .flags = ROW_REPLACE_EOS },
    { .name = "qwen3_vl", QWEN, .flags = ROW_REPLACE_EOS | ROW_THINKS | ROW_MEDIA },
    { .name = "qwen3_vl_nothink", QWEN, .flags = ROW_REPLACE_EOS | ROW_MEDIA },
    { .name = "smollm", CHATML, .stops = { "<|im_end|>" } },
    { .name = "smollm2",
      CHATML,
      .default_system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face.",
      .stops = { "<|im_end|>" } },
    { .name = "vicuna", VICUNA },
    { .name = "yi", CHATML, .stops = { "<|im_end|>" } },
    { .name = "zephyr",
      .system = "<|system|>\n" C EOS,
      .user = "<|user|>\n" C EOS "<|assistant|>\n",
      .default_system = "You are Zephyr, a helpful assistant." },
};

const int template_row_count = sizeof(template_rows) / sizeof(template_rows[0]);

void template_names(struct strbuf *list)
{
    for (int i = 0; i < template_row_count; i++)
        strbuf_printf(list, "%s%s", i == 0 ? "" : ", ", template_rows[i].name);
}

static int refuse_name(const char *name, struct error *err)
{
    struct strbuf list = { 0 };
    int nearest = 0, rc;

    for (int i = 1; i < template_row_count; i++)
        if (edit_distance(name, template_rows[i].name) <
            edit_distance(name, template_rows[nearest].name))
            nearest = i;
    template_names(&list);
    rc = error_set(err, "no template '%.64s'; did you mean '%s'? there are: %s", name,
                   template_rows[nearest].name, strbuf_text(&list));
    strbuf_release(&list);
    return rc;
}

const struct template_row *template_row_find(const char *name, struct error *err)
{
    for (int i = 0; i < template_row_count; i++)
        if (strcmp(template_rows[i].name, name) == 0)
            return &template_rows[i];
    (void)refuse_name(name, err);
    return NULL;
}

const char *template_table_name(int i)
{
    return i >= 0 && i < template_row_count ? template_rows[i].name : NULL;
}
