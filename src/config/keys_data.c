/*
 * keys_data.c: keys about data sets and how rows become samples.
 */
#include "keys_internal.h"

#define GROUP KEYS_DATA

static const struct config_key rows[] = {
    WORKS(template, TEXT, "null", "chat template; null takes the one that matches the tokenizer's",
          .flags = KEY_RESULT),
    WORKS(dataset, LIST, "null", "names in dataset_info.json, joined in this order",
          .flags = KEY_RESULT),
    WORKS(eval_dataset, LIST, "null", "names of sets for evaluation"),
    WORKS(dataset_dir, TEXT, "data", "folder of dataset_info.json"),
    NO_EFFECT(media_dir, TEXT, "null", "folder of images, clips and sounds"),
    WORKS(cutoff_len, INT, "2048", "most tokens of a sample; with packing, length of a row",
          LIMITS(2, 16777216), .flags = KEY_RESULT),
    WORKS(train_on_prompt, BOOL, "false", "learn the prompt too, not the reply alone",
          .flags = KEY_RESULT),
    WORKS(mask_history, BOOL, "false", "learn only the last reply of a conversation",
          .flags = KEY_RESULT),
    REFUSED(streaming, BOOL, "false", "read the data while training",
            "the data is prepared once and read from disk"),
    NO_EFFECT(buffer_size, INT, "16384", "rows among which streaming shuffles"),
    REFUSED(mix_strategy, TEXT, "concat", "how several sets are mixed", "sets are joined"),
    REFUSED(interleave_probs, TEXT, "null", "shares of the sets when they are interleaved",
            "sets are joined"),
    WORKS(overwrite_cache, BOOL, "false", "prepare the data again though a prepared copy matches"),
    WORKS(preprocessing_batch_size, INT, "1000", "rows that are packed together",
          LIMITS(1, HUGE_COUNT), .flags = KEY_RESULT | KEY_IF_PACKING),
    WORKS(preprocessing_num_workers, INT, "null",
          "shards that the rows are cut into before packing; it sets no process count here",
          LIMITS(1, 65536), .null_as = 1, .flags = KEY_RESULT | KEY_IF_PACKING),
    WORKS(max_samples, INT, "null", "rows taken from the beginning of each set", LIMITS(1, 1e15),
          .flags = KEY_RESULT),
    NO_EFFECT(eval_num_beams, INT, "null", "beams when generating in evaluation"),
    NO_EFFECT(ignore_pad_token_for_loss, BOOL, "true", "padding has no label; there is none here"),
    WORKS(val_size, FLOAT, "0.0",
          "rows of the training sets kept for evaluation: a share below 1, a number above",
          LIMITS(0, 1e15), .flags = KEY_RESULT),
    WORKS(eval_on_each_dataset, BOOL, "false", "evaluate the sets of eval_dataset one by one"),
    WORKS(packing, BOOL, "null", "fill rows of cutoff_len with several samples",
          .flags = KEY_RESULT),
    WORKS(neat_packing, BOOL, "false", "packing in which a sample does not see its neighbours",
          .flags = KEY_RESULT),
    WORKS(tool_format, TEXT, "null", "how tools are written, in place of the template's way",
          .flags = KEY_RESULT),
    WORKS(default_system, TEXT, "null", "system text in place of the template's",
          .flags = KEY_RESULT | KEY_EMPTY_OK),
    WORKS(enable_thinking, BOOL, "true",
          "thoughts of reasoning models: true keeps them, false removes them, null is between",
          .null_as = -1, .flags = KEY_RESULT | KEY_NULLABLE),
    WORKS(preserve_thinking, BOOL, "false", "keep thoughts in earlier replies",
          .flags = KEY_RESULT),
    WORKS(tokenized_path, TEXT, "null", "folder of the prepared data, to write and to reuse"),
    NO_EFFECT(data_shared_file_system, BOOL, "false", "one rank prepares for all nodes; all do"),
};

KEY_TABLE(keys_data, rows);
