/*
 * keys_other.c: keys of generation, export and other engines, and keys of
 * older versions. None has an effect on training here.
 */
#include "keys_internal.h"

#define GROUP KEYS_GENERATION

static const struct config_key generation_rows[] = {
    NO_EFFECT(do_sample, BOOL, "true", "draw tokens when generating"),
    NO_EFFECT(temperature, FLOAT, "0.95", "sharpness of the draw"),
    NO_EFFECT(top_p, FLOAT, "0.7", "probability mass that is drawn from"),
    NO_EFFECT(top_k, INT, "50", "tokens that are drawn from"),
    NO_EFFECT(num_beams, INT, "1", "beams when generating"),
    NO_EFFECT(max_length, INT, "1024", "longest prompt and reply"),
    NO_EFFECT(max_new_tokens, INT, "1024", "longest reply"),
    NO_EFFECT(repetition_penalty, FLOAT, "1.0", "penalty for repetition"),
    NO_EFFECT(length_penalty, FLOAT, "1.0", "penalty for length with beams"),
    NO_EFFECT(skip_special_tokens, BOOL, "true", "leave special tokens out of replies"),
    NO_EFFECT(export_dir, TEXT, "null", "folder of the merged model"),
    NO_EFFECT(export_size, INT, "5", "GB of a file of the merged model"),
    NO_EFFECT(export_device, TEXT, "cpu", "where models are merged"),
    NO_EFFECT(export_quantization_bit, INT, "null", "bits of the merged model"),
    NO_EFFECT(export_quantization_dataset, TEXT, "null", "data for quantising it"),
    NO_EFFECT(export_quantization_nsamples, INT, "128", "samples for quantising it"),
    NO_EFFECT(export_quantization_maxlen, INT, "1024", "length of those samples"),
    NO_EFFECT(export_legacy_format, BOOL, "false", "write the merged model as .bin"),
    NO_EFFECT(export_hub_model_id, TEXT, "null", "repository to upload it to"),
};

KEY_TABLE(keys_generation, generation_rows);

#undef GROUP
#define GROUP KEYS_VENDOR

static const struct config_key vendor_rows[] = {
    NO_EFFECT(vllm_maxlen, INT, "4096", "longest sequence of vLLM"),
    NO_EFFECT(vllm_gpu_util, FLOAT, "0.7", "share of GPU memory for vLLM"),
    NO_EFFECT(vllm_enforce_eager, BOOL, "false", "vLLM without graphs"),
    NO_EFFECT(vllm_max_lora_rank, INT, "32", "largest adapter rank of vLLM"),
    NO_EFFECT(vllm_config, ANY, "null", "settings of vLLM"),
    NO_EFFECT(sglang_maxlen, INT, "4096", "longest sequence of SGLang"),
    NO_EFFECT(sglang_mem_fraction, FLOAT, "0.7", "share of memory for SGLang"),
    NO_EFFECT(sglang_tp_size, INT, "-1", "tensor parallelism of SGLang"),
    NO_EFFECT(sglang_config, ANY, "null", "settings of SGLang"),
    NO_EFFECT(sglang_lora_backend, TEXT, "triton", "kernels of SGLang for adapters"),
    NO_EFFECT(use_kt, BOOL, "false", "train with KTransformers"),
    NO_EFFECT(kt_weight_path, TEXT, "null", "weights for KTransformers"),
    NO_EFFECT(kt_expert_checkpoint_path, TEXT, "null", "experts for KTransformers"),
    NO_EFFECT(kt_use_lora_experts, BOOL, "null", "adapters as experts in KTransformers"),
    NO_EFFECT(kt_lora_expert_num, INT, "null", "number of those experts"),
    NO_EFFECT(kt_lora_expert_intermediate_size, INT, "null", "size of those experts"),
    NO_EFFECT(use_swanlab, BOOL, "false", "track the run with SwanLab"),
    NO_EFFECT(swanlab_project, TEXT, "llamafactory", "project in SwanLab"),
    NO_EFFECT(swanlab_workspace, TEXT, "null", "workspace in SwanLab"),
    NO_EFFECT(swanlab_run_name, TEXT, "null", "name of the run in SwanLab"),
    NO_EFFECT(swanlab_mode, TEXT, "cloud", "where SwanLab keeps the run"),
    NO_EFFECT(swanlab_api_key, TEXT, "null", "password of SwanLab", .flags = KEY_SECRET),
    NO_EFFECT(swanlab_logdir, TEXT, "null", "folder of SwanLab"),
    NO_EFFECT(swanlab_lark_webhook_url, TEXT, "null", "where SwanLab sends messages",
              .flags = KEY_SECRET),
    NO_EFFECT(swanlab_lark_secret, TEXT, "null", "password for those messages",
              .flags = KEY_SECRET),
};

KEY_TABLE(keys_vendor, vendor_rows);

#undef GROUP
#define GROUP KEYS_OLD

static const struct config_key old_rows[] = {
    REFUSED(adafactor, BOOL, "false", "Adafactor", "the optimizer is AdamW"),
    REFUSED(group_by_length, BOOL, "false", "put rows of like length into a batch",
            "rows are shuffled; nothing is padded here"),
    NO_EFFECT(fp16_backend, TEXT, "auto", "library for float16"),
    NO_EFFECT(fp16_opt_level, TEXT, "O1", "level of that library"),
    NO_EFFECT(half_precision_backend, TEXT, "auto", "library for half precision"),
    NO_EFFECT(fsdp_min_num_params, INT, "0", "sharding of PyTorch"),
    NO_EFFECT(fsdp_transformer_layer_cls_to_wrap, TEXT, "null", "sharding of PyTorch"),
    NO_EFFECT(include_inputs_for_metrics, BOOL, "false", "what metrics are given"),
    NO_EFFECT(include_tokens_per_second, BOOL, "false", "log speed; it is logged anyway"),
    NO_EFFECT(jit_mode_eval, BOOL, "false", "trace the PyTorch model"),
    NO_EFFECT(mp_parameters, TEXT, "", "settings of SageMaker"),
    NO_EFFECT(no_cuda, BOOL, "false", "train without GPU; always so"),
    NO_EFFECT(past_index, INT, "-1", "memory of recurrent models"),
    NO_EFFECT(per_gpu_train_batch_size, INT, "null", "old name, never read by LLaMA-Factory"),
    NO_EFFECT(per_gpu_eval_batch_size, INT, "null", "old name, never read by LLaMA-Factory"),
    NO_EFFECT(push_to_hub_model_id, TEXT, "null", "repository to upload to"),
    NO_EFFECT(push_to_hub_organization, TEXT, "null", "organisation to upload to"),
    NO_EFFECT(push_to_hub_token, TEXT, "null", "password of the hub", .flags = KEY_SECRET),
    NO_EFFECT(ray_scope, TEXT, "last", "searches of Ray"),
    NO_EFFECT(ray_run_name, TEXT, "null", "name of the run in Ray"),
    NO_EFFECT(ray_storage_path, TEXT, "./saves", "folder of Ray"),
    NO_EFFECT(ray_storage_filesystem, TEXT, "null", "file system of Ray"),
    NO_EFFECT(resources_per_worker, ANY, "null", "what a process of Ray gets"),
    NO_EFFECT(placement_strategy, TEXT, "PACK", "where Ray puts processes"),
    NO_EFFECT(save_safetensors, BOOL, "true", "write safetensors; always so"),
    NO_EFFECT(torchdynamo, TEXT, "null", "compiler of PyTorch"),
    NO_EFFECT(tpu_metrics_debug, BOOL, "false", "debugging on TPUs"),
    NO_EFFECT(tpu_num_cores, INT, "null", "cores of TPUs"),
    NO_EFFECT(use_ipex, BOOL, "false", "Intel's extension of PyTorch"),
    NO_EFFECT(use_legacy_prediction_loop, BOOL, "false", "old evaluation loop"),
    NO_EFFECT(use_mps_device, BOOL, "false", "train on Apple's GPU"),
    NO_EFFECT(dispatch_batches, BOOL, "null", "who reads rows in accelerate"),
    NO_EFFECT(split_batches, BOOL, "null", "how accelerate counts batches"),
    NO_EFFECT(kt_optimize_rule, TEXT, "null", "rules of KTransformers"),
    NO_EFFECT(cpu_infer, INT, "32", "CPU cores of KTransformers"),
    NO_EFFECT(chunk_size, INT, "8192", "chunk of KTransformers"),
    NO_EFFECT(mode, TEXT, "normal", "mode of KTransformers"),
    NO_EFFECT(kt_maxlen, INT, "4096", "longest sequence of KTransformers"),
    NO_EFFECT(kt_use_cuda_graph, BOOL, "true", "graphs in KTransformers"),
    NO_EFFECT(kt_mode, TEXT, "normal", "mode of KTransformers"),
    NO_EFFECT(kt_force_think, BOOL, "false", "force thoughts in KTransformers"),
};

KEY_TABLE(keys_old, old_rows);
