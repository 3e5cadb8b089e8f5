"""What PyTorch has and lucidlite hasn't: what the AttributeError says of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from lucidlite.callsite import error

# What to do instead, and the names it is said of (with wildcards), in torch and all below it.
OUT_OF_SCOPE = {
    "in-place changes of shape are out of scope, assign the result: x = x.squeeze()": """
        squeeze_ unsqueeze_ transpose_ t_ swapaxes_ swapdims_ resize resize_ resize_as resize_as_
        set_ as_strided_ as_strided_scatter as_strided_copy empty_strided
        new_empty_strided empty_permuted
    """,
    "Fourier transforms and windows are out of scope, numpy.fft works on x.numpy()": """
        fft stft istft signal windows *_window has_spectral
    """,
    "matrix decompositions are out of scope, numpy.linalg works on x.numpy()": """
        cholesky* det eig geqrf inverse lobpcg logdet lstsq lu lu_* matrix_exp matrix_rank orgqr
        ormqr pca_lowrank pinverse qr slogdet solve svd svd_lowrank symeig triangular_solve vander
        has_lapack inv inv_ex *_ex eigh eigvals eigvalsh svdvals pinv solve_triangular ldl_* cond
        householder_product tensorinv tensorsolve nuclear_norm
    """,
    "complex numbers are out of scope, keep the real and imaginary parts as two tensors": """
        angle *complex* cdouble cfloat chalf conj conj_physical* imag is_conj is_neg polar
        real resolve_conj resolve_neg
    """,
    "sparse tensors are out of scope, a dense tensor does the same in more memory": """
        *sparse* ccol_indices* coalesce col_indices* crow_indices* dense_dim dsmm hsmm hspmm indices
        indices_copy is_coalesced row_indices* smm spmm sspaddmm saddmm values values_copy to_dense
        jagged layout strided SparseAdam nested to_padded_tensor is_nested
    """,
    "quantised tensors are out of scope, float16 halves the memory": """
        *quantize* quantiz* *_quant quantized ao fbgemm_* int_repr per_channel_* per_tensor_*
        q_* qint* quint* qscheme qat QInt* QUInt* fused_moving_avg_obs_fake_quant
        choose_qparams* scaled_mm grouped_mm scaled_grouped_mm ScalingType SwizzleType dequantize
    """,
    "there are the dtypes float16, float32, float64, uint8, int8 to int64 and bool": """
        bfloat16 BFloat16* float8_* float4_* uint1 uint2 uint3 uint4 uint5 uint6 uint7 uint16 uint32
        uint64 int1 int2 int3 int4 int5 int6 int7 bit bits*
    """,
    "code runs as it is written, there is no compiler: leave the call out": """
        compile compiler jit export fx while_loop cpp library classes package Script* script
        CompilationUnit *Type ConcreteModuleTypeBuilder Graph FunctionSchema import_ir_module*
        parse_* merge_type_from_type_comment unify_type_list LiteScriptModule StaticModule sym_*
        Sym* TracingState ExecutionPlan wait fork futures Future Await* Code Node Value Use Block
        Argument* CompleteArgumentSpec AliasDb Gradient GraphExecutorState FileCheck IODescriptor
        JITException ErrorReport PyObjectType RRefType Capsule CallStack Deserialization*
        Serialization* PyTorchFile* Tag Type AnyType
    """,
    "one process and one device at a time: distributed training is out of scope": """
        distributed is_distributed multiprocessing parallel DataParallel SyncBatchNorm
        share_memory_ is_shared prepare_multiprocessing_environment get_file_path
    """,
    "three spatial dims are out of scope, images have two": """
        *3d *3d_with_indices channels_last_3d
    """,
    "shapes are given when a layer is made: there are no lazy layers": """
        Lazy* UninitializedParameter UninitializedBuffer
    """,
    "say lucidlite.optim.Adam or SGD with momentum": """
        Adafactor Muon
    """,
    "special functions are out of scope, scipy.special works on x.numpy()": """
        digamma* gcd gcd_ i0 i0_ igamma* lcm lcm_ lgamma* mvlgamma* nextafter* polygamma* special
        frexp distributions poisson binomial
    """,
    "say lucidlite.tensor(data, dtype=...) or torch's dtype names": """
        *Tensor Storage *Storage StorageBase storage storage_type untyped_storage is_storage
        set_default_tensor_type new
    """,
    "autograd.grad takes one gradient at a time: there are no function transforms": """
        vmap func functional
    """,
    "devices are the CPU, and NVIDIA's GPUs as 'cuda'": """
        xpu mps mtia ipu vulkan is_xla is_xpu is_mps is_mtia is_ipu is_maia is_vulkan* is_meta
        is_mkldnn mkldnn* to_mkldnn cpu get_device_module AcceleratorError Stream Event
    """,
    "the memory order is lucidlite's own choice: leave the argument out": """
        channels_last contiguous_format preserve_format legacy_contiguous_format memory_format
    """,
    "these are layers here: lucidlite.nn.RNN, LSTM, GRU and their cells": """
        gru gru_cell lstm lstm_cell rnn_relu* rnn_tanh*
    """,
    "gradients of single operations come from autograd.grad": """
        grad gradient
    """,
    "these are PyTorch's insides": """
        cudnn_* miopen_* native_* *_copy batch_norm_* DispatchKey* DisableTorchFunction* *Logger*
        Benchmark* ThroughputBenchmark ExcludeDispatchKeyGuard has_torch_function*
        handle_torch_function boolean_dispatch assert_int_or_pair BroadcastingList* AggregationType
        DeepCopyMemoTable AVG SUM FatalError OperatorInfo PRIVATE_OPS USE_* autocast_*_nesting
        get_autocast_* set_autocast_* is_autocast_* is_vulkan_available has_mkl has_openmp
        compiled_with_cxx11_abi classproperty embedding_renorm_ hash_tensor init_num_threads
        thread_safe_generator torch_version return_types hub monitor overrides profiler*
        quasirandom random testing types typename unsafe_* version norm_except_dim
        segment_reduce slice_inverse conv_tbc dim_order const_data_ptr is_set_to output_nr
        module_load record_stream reinforce volatile grad_dtype as_subclass map_ map2_ apply_
        swap_in_optimizer_params_and_state common_types factory_kwargs modules intrinsic Container
        set_flush_denormal set_warn_always is_warn_always_enabled *_num_interop_threads convolution
        is_anomaly_* set_anomaly_enabled *_deterministic_debug_mode is_deterministic_* masked
        linear_cross_entropy LinearCrossEntropy* from_file frombuffer to_dlpack BufferDict
        nonzero_static grid_sampler_2d affine_grid_generator feature_dropout* frobenius_norm
        GRID_SAMPLE_* reproducibility_notes sparse_support_notes tf32_notes TYPE_CHECKING torch
    """,
}


def reason(name: str) -> str:
    """Why ``name`` is out of scope, and what there is instead; '' where nobody decided that."""
    for words, patterns in OUT_OF_SCOPE.items():
        if any(fnmatchcase(name, pattern) for pattern in patterns.split()):
            return words
    return ""


def nearest(name: str, names: Iterable[str]) -> str:
    """The public name that is spelt most like ``name``, '' where none is close."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, [n for n in names if n[0] != "_"], 1, 0.7)), "")


_LISTED = "docs/compatibility.md lists what there is"
_advice: dict[tuple[str, str], str] = {}  # what was said of a name: hasattr() may ask in a loop


def absent(
    where: str,
    name: str,
    names: Iterable[str] | type,
    elsewhere: Mapping[str, Iterable[str]] | None = None,
) -> AttributeError:
    """The error for ``where.name``: that it is out of scope, where it is, or the nearest name.

    ``names`` are those there are; a class stands for its attributes.
    """
    start = f"{where} has no attribute '{name}'"
    if name.startswith("__"):  # Python and NumPy ask for these, and often
        return AttributeError(start)
    words = _advice.get((where, name))
    if words is None:
        words = _advice[where, name] = _advise(name, names, elsewhere or {})
    return error(AttributeError, start + words)


def _advise(
    name: str, names: Iterable[str] | type, elsewhere: Mapping[str, Iterable[str]]
) -> str:
    for place, known in elsewhere.items():
        if name in known:
            return f", it is {place}.{name}"
    words = reason(name)
    if words:
        return f": {words}"
    near = nearest(name, dir(names) if isinstance(names, type) else names)
    return f", the nearest name is '{near}'" if near else f", {_LISTED}"
