# lowrank: distributed LoRA training on CPU clusters.
#
#   make                    build/lowrank
#   make check              build and pass all tests (installs nothing)
#   make lint               form, layers, banned calls, static analysis
#   make fuzz               explore each reader of outside bytes, FUZZ_SECONDS each (clang)
#   make bench MODEL=...    measures against LLaMA-Factory, writes docs/performance*.md
#   make install PREFIX=    program and man page (DESTDIR= is put before it)
#   make config-summary     what this build takes, and from where
#   make clean
#
# Variables (docs/install.md says more):
#   MPICC=mpicc             the MPI compiler wrapper; CC=gcc is the compiler that it calls
#   BLAS=openblas|mkl|blis  default: the first of these that is found
#   HDF5_DIR=DIR            a parallel HDF5 in DIR/include and DIR/lib; default: pkg-config
#   ONEDNN=0|1              default: 1 where dnnl.h is found; ONEDNN_DIR=DIR when it is not with the system
#   SANITIZE=address,undefined   CC=clang   each variant has a folder of its own below build/
#   V=1                     show each command
#   LAYERS="base tensor"    build only these
.DELETE_ON_ERROR:
.SUFFIXES:

comma    := ,
empty    :=
space    := $(empty) $(empty)

MPICC    ?= mpicc
ifeq ($(origin CC),default)
CC       := gcc
endif
SANITIZE ?=
VARIANT  := $(subst $(space),-,$(strip $(filter-out gcc,$(notdir $(firstword $(CC)))) $(subst $(comma),-,$(SANITIZE))))
BUILD    ?= build$(if $(VARIANT),/$(VARIANT))
PREFIX   ?= /usr/local
DESTDIR  ?=
FUZZ_SECONDS ?= 60

# One short line a command; V=1 shows the commands themselves.
SAY       = $(if $(V),,@echo '  $(@:$(BUILD)/%=%)';)

VERSION  := 0.1.0

LAYERS   ?= base tensor nn dist format store config text data lora model optim ckpt report train cli

# The wrappers of Open MPI, MPICH and Intel MPI each read the compiler from a variable of their own.
export OMPI_CC  := $(CC)
export MPICH_CC := $(CC)
export I_MPI_CC := $(CC)

CSTD     := -std=c11 -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE
WARN     := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
            -Wcast-qual -Wwrite-strings -Wvla -Wno-unknown-pragmas -Wno-pass-failed
OPT      ?= -O2 -g

# ---- what the build takes -------------------------------------------------

PKG_CONFIG ?= pkg-config
pkg_has   = $(shell $(PKG_CONFIG) --exists $(1) 2>/dev/null && echo yes)
pkg_first = $(firstword $(foreach p,$(1),$(if $(call pkg_has,$(p)),$(p))))
pkg_ver   = $(shell $(PKG_CONFIG) --modversion $(1) 2>/dev/null)
header_in = $(firstword $(wildcard $(addsuffix /$(1),$(2))))
MISSING  :=

PKGS     := yaml-0.1 jansson libpcre2-8 libutf8proc libxxhash
MISSING  += $(foreach p,$(PKGS),$(if $(call pkg_has,$(p)),,$(p)))
MISSING  += $(if $(shell command -v $(MPICC)),,$(MPICC))

# HDF5: HDF5_DIR, else the pkg-config names of Debian and Spack, else where the MPI compiler looks (Rocky Linux).
hdf5_compiles = $(shell printf '%b\n' '\043include <hdf5.h>' $(1) | $(MPICC) $(HDF5_INC) -E -x c - >/dev/null 2>&1 && echo yes)
ifneq ($(HDF5_DIR),)
HDF5_INC := -I$(HDF5_DIR)/include
HDF5_LIB := -L$(HDF5_DIR)/lib $(if $(wildcard $(HDF5_DIR)/lib64),-L$(HDF5_DIR)/lib64) -lhdf5
HDF5_SAY := HDF5_DIR=$(HDF5_DIR)
MISSING  += $(if $(wildcard $(HDF5_DIR)/include/hdf5.h),,$(HDF5_DIR)/include/hdf5.h)
else ifneq ($(call pkg_first,hdf5-openmpi hdf5-mpich hdf5-mpi hdf5),)
HDF5_PKG := $(call pkg_first,hdf5-openmpi hdf5-mpich hdf5-mpi hdf5)
HDF5_INC := $(shell $(PKG_CONFIG) --cflags $(HDF5_PKG))
HDF5_LIB := $(shell $(PKG_CONFIG) --libs $(HDF5_PKG))
HDF5_SAY := $(HDF5_PKG) $(call pkg_ver,$(HDF5_PKG)) (pkg-config)
else
HDF5_LIB := -lhdf5
HDF5_SAY := where $(MPICC) finds it
MISSING  += $(if $(call hdf5_compiles,),,hdf5.h)
endif
HDF5_SERIAL := $(if $(call hdf5_compiles,),$(if $(call hdf5_compiles,'\043ifndef H5_HAVE_PARALLEL' '\043error' '\043endif'),,yes))

# BLAS: one that is asked for, else the first that is found.
BLAS_openblas := $(call pkg_first,openblas openblas64)
BLAS_mkl      := $(call pkg_first,mkl-dynamic-lp64-gomp mkl-dynamic-lp64-seq)
BLAS_blis     := $(call pkg_first,blis blis-mt)
ifeq ($(BLAS),)
BLAS     := $(firstword $(foreach b,openblas mkl blis,$(if $(BLAS_$(b)),$(b))))
endif
ifeq ($(filter openblas mkl blis,$(BLAS)),)
MISSING  += $(if $(BLAS),BLAS=$(BLAS)(openblas$(comma)mkl$(comma)blis),openblas)
endif
BLAS_PKG := $(BLAS_$(BLAS))
BLAS_DEF := $(if $(BLAS),-DHAVE_$(shell echo $(BLAS) | tr a-z A-Z))
ifneq ($(BLAS_PKG),)
BLAS_INC := $(shell $(PKG_CONFIG) --cflags $(BLAS_PKG))
BLAS_LIB := $(shell $(PKG_CONFIG) --libs $(BLAS_PKG))
BLAS_SAY := $(BLAS_PKG) $(call pkg_ver,$(BLAS_PKG)) (pkg-config)
else ifeq ($(BLAS)$(if $(MKLROOT),+root),mkl+root)
BLAS_INC := -I$(MKLROOT)/include
BLAS_LIB := -L$(MKLROOT)/lib/intel64 -L$(MKLROOT)/lib -lmkl_intel_lp64 -lmkl_gnu_thread -lmkl_core
BLAS_SAY := MKLROOT=$(MKLROOT)
else
BLAS_LIB := $(if $(BLAS),-l$(BLAS))
BLAS_SAY := $(if $(BLAS),-l$(BLAS) from the compiler's paths)
endif

# oneDNN: optional.
DNNL_DIRS := $(if $(ONEDNN_DIR),$(ONEDNN_DIR)/include,/usr/include /usr/local/include $(subst :, ,$(CPATH)))
DNNL_H   := $(call header_in,dnnl.h,$(DNNL_DIRS))
ONEDNN   ?= $(if $(DNNL_H),1,0)
ifeq ($(ONEDNN),1)
DNNL_INC := -DHAVE_ONEDNN $(if $(ONEDNN_DIR),-I$(ONEDNN_DIR)/include)
DNNL_LIB := $(if $(ONEDNN_DIR),-L$(ONEDNN_DIR)/lib) -ldnnl
DNNL_SAY := $(or $(DNNL_H),-ldnnl from the compiler's paths)
MISSING  += $(if $(and $(ONEDNN_DIR),$(if $(DNNL_H),,no)),$(ONEDNN_DIR)/include/dnnl.h)
else
DNNL_SAY := not built in; matrix products use $(BLAS) alone
endif

# Instructions for bfloat16: where the compiler knows them.
BF16_FLAGS := -mamx-tile -mamx-bf16 -mavx512bf16
BF16     := $(if $(filter x86_64,$(shell uname -m)),$(shell $(CC) $(BF16_FLAGS) -E -x c /dev/null >/dev/null 2>&1 && echo yes))

CPPFLAGS := -Iinclude $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null) \
            $(HDF5_INC) $(BLAS_INC) $(BLAS_DEF) $(DNNL_INC) $(if $(BF16),-DHAVE_BF16) $(EXTRA_CPPFLAGS)
# What `lowrank --version` and `lowrank info` say.
VERSIONS := $(foreach p,$(PKGS) $(BLAS_PKG) $(HDF5_PKG),$(p) $(call pkg_ver,$(p)))
DEFS     := -DLOWRANK_VERSION='"$(VERSION)"' -DLOWRANK_LIBRARIES='"$(strip $(VERSIONS))"'
CFLAGS   := $(CSTD) $(WARN) $(OPT) -fopenmp -ffp-contract=off
LIBS     := $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null) $(BLAS_LIB) $(HDF5_LIB) $(DNNL_LIB)
# Libraries outside the system's folders (modules, Spack) are found again at run time.
RPATHS   := $(filter-out /usr/lib% /lib%,$(patsubst -L%,%,$(filter -L%,$(LIBS))))
LDLIBS   := $(LIBS) $(addprefix -Wl$(comma)-rpath$(comma),$(sort $(RPATHS))) -lm
ifneq ($(SANITIZE),)
CFLAGS   += -fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=undefined
endif

MISSING  := $(strip $(MISSING))
NO_BUILD := clean lint config-summary print-flags
ifneq ($(filter-out $(NO_BUILD),$(or $(MAKECMDGOALS),all)),)
ifneq ($(MISSING),)
$(error not found: $(MISSING); docs/install.md says which packages or modules hold them)
endif
ifneq ($(HDF5_SERIAL),)
$(error the HDF5 of '$(HDF5_SAY)' was built without MPI; give HDF5_DIR= a parallel one)
endif
endif

define SUMMARY
compiler  $(shell $(CC) --version 2>/dev/null | head -n 1)
mpi       $(shell command -v $(MPICC)): $(shell ($(MPICC) --showme:version || $(MPICC) -v) 2>&1 | head -n 1)
blas      $(if $(BLAS),$(BLAS): $(BLAS_SAY),not found)
onednn    $(DNNL_SAY)
hdf5      $(HDF5_SAY)$(if $(HDF5_SERIAL), SERIAL: cannot be used)
others    $(foreach p,$(PKGS),$(p) $(or $(call pkg_ver,$(p)),NOT FOUND)$(comma))
flags     $(CFLAGS)
endef

# ---- what is built --------------------------------------------------------

SRC      := $(foreach l,$(filter-out cli,$(LAYERS)),$(wildcard src/$(l)/*.c))
OBJ      := $(SRC:src/%.c=$(BUILD)/obj/%.o)
SIMD_SRC := $(if $(filter nn,$(LAYERS)),$(filter-out src/nn/simd/bf16%,$(wildcard src/nn/simd/*.c)))
ISAS     := generic $(if $(filter x86_64,$(shell uname -m)),avx2 avx512)
OBJ      += $(foreach isa,$(ISAS),$(SIMD_SRC:src/%.c=$(BUILD)/obj/%.$(isa).o))
OBJ      += $(if $(and $(BF16),$(SIMD_SRC)),$(patsubst src/%.c,$(BUILD)/obj/%.bf16.o,$(wildcard src/nn/simd/bf16*.c)))
CLI_SRC  := $(if $(filter cli,$(LAYERS)),$(wildcard src/cli/*.c))
CLI_OBJ  := $(CLI_SRC:src/%.c=$(BUILD)/obj/%.o)
LIB      := $(BUILD)/liblowrank.a
UNIT_SRC := $(foreach l,$(LAYERS),$(wildcard tests/unit/$(l)/test_*.c))
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/tests/unit/%)
MPI_SRC  := $(wildcard tests/mpi/test_*.c)
MPI_BIN  := $(MPI_SRC:tests/mpi/%.c=$(BUILD)/tests/mpi/%)
BENCH_BIN := $(patsubst tests/bench/%.c,$(BUILD)/tests/bench/%,$(wildcard tests/bench/*.c))
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
REPLAY_BIN := $(FUZZ_SRC:tests/fuzz/fuzz_%.c=$(BUILD)/tests/fuzz/replay_%)
FLAGS    := $(BUILD)/flags.txt

.PHONY: all unit mpi unit-programs mpi-programs fuzz-programs check lint fuzz bench install \
        config-summary print-flags clean FORCE
all: $(BUILD)/lowrank

# Written, and shown, only when it differs from the last time: then everything is built anew.
$(FLAGS): FORCE
	$(file >$(FLAGS).new,$(SUMMARY))
	$(file >>$(FLAGS).new,$(BUILT_WITH))
	@cmp -s $@.new $@ && rm -f $@.new || { mv $@.new $@; sed '/^built with/d' $@; }
$(shell mkdir -p $(BUILD))

$(BUILD)/lowrank: $(CLI_OBJ) $(LIB)
	$(SAY)$(MPICC) $(CFLAGS) -o $@ $(CLI_OBJ) $(LIB) $(LDLIBS)

$(LIB): $(OBJ) $(FLAGS)
	@rm -f $@
	$(SAY)ar rcs $@ $(OBJ)

$(BUILD)/obj/%.o: src/%.c $(FLAGS)
	@mkdir -p $(@D)
	$(SAY)$(MPICC) $(CPPFLAGS) $(DEFS) -Isrc $(CFLAGS) -MMD -MP -c -o $@ $<

# What SUMMARY does not say and yet decides what is built.
BUILT_WITH = built with version $(VERSION), $(CPPFLAGS) $(SIMD_FLAGS) $(foreach isa,$(ISAS) bf16,$(ISA_FLAGS_$(isa))) $(OBJ:$(BUILD)/obj/%=%)

# src/nn/simd is compiled once per instruction set (src/nn/simd/simd.h).
SIMD_FLAGS := -O3 -fno-math-errno -fno-trapping-math -ffp-contract=fast
ISA_FLAGS_generic :=
ISA_FLAGS_avx2    := -mavx2 -mfma -mf16c -mprefer-vector-width=256
ISA_FLAGS_bf16     = $(ISA_FLAGS_avx512) $(BF16_FLAGS)
ISA_FLAGS_avx512  := -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c -mprefer-vector-width=512

# Its bits are the same with every instruction set.
$(BUILD)/obj/nn/simd/update.%.o: SIMD_FLAGS += -ffp-contract=off

define simd_rule
$(BUILD)/obj/nn/simd/%.$(1).o: src/nn/simd/%.c $(FLAGS)
	@mkdir -p $$(@D)
	$$(SAY)$(MPICC) $(CPPFLAGS) -Isrc $(CFLAGS) $$(SIMD_FLAGS) $(ISA_FLAGS_$(1)) -DNN_ISA=$(1) -MMD -MP -c -o $$@ $$<
endef
$(foreach isa,$(ISAS) bf16,$(eval $(call simd_rule,$(isa))))

$(BUILD)/tests/unit/%: tests/unit/%.c $(LIB)
	@mkdir -p $(@D)
	$(SAY)$(MPICC) $(CPPFLAGS) -Itests/unit -Isrc $(CFLAGS) -MMD -MP -o $@ $< $(filter %.o,$^) $(LIB) -lcmocka $(LDLIBS)

# AMX's tiles in plain C, in place of those of the library.
ifneq ($(BF16),)
$(BUILD)/tests/unit/nn/test_tiles: $(BUILD)/tests/unit/nn/tiles.o
$(BUILD)/tests/unit/nn/tiles.o: src/nn/simd/bf16.c tests/unit/nn/tiles.h $(FLAGS)
	@mkdir -p $(@D)
	$(SAY)$(MPICC) $(CPPFLAGS) -Isrc $(CFLAGS) $(SIMD_FLAGS) $(ISA_FLAGS_bf16) -include tests/unit/nn/tiles.h -MMD -MP -c -o $@ $<
endif

$(BUILD)/tests/mpi/%: tests/mpi/%.c $(LIB)
	@mkdir -p $(@D)
	$(SAY)$(MPICC) $(CPPFLAGS) -Itests/mpi -Isrc $(CFLAGS) -MMD -MP -o $@ $< $(LIB) -lcmocka $(LDLIBS)

$(BUILD)/tests/bench/%: tests/bench/%.c $(LIB)
	@mkdir -p $(@D)
	$(SAY)$(MPICC) $(CPPFLAGS) -Isrc $(CFLAGS) -MMD -MP -o $@ $< $(LIB) $(LDLIBS)

$(BUILD)/tests/fuzz/replay_%: tests/fuzz/fuzz_%.c tests/fuzz/replay.c $(LIB)
	@mkdir -p $(@D)
	$(SAY)$(MPICC) $(CPPFLAGS) -Isrc $(CFLAGS) -MMD -MP -o $@ $< tests/fuzz/replay.c $(LIB) $(LDLIBS)

$(BUILD)/tests/fuzz/explore_%: tests/fuzz/fuzz_%.c $(LIB)
	@mkdir -p $(@D)
	$(SAY)$(MPICC) $(CPPFLAGS) -Isrc $(CFLAGS) -fsanitize=fuzzer -MMD -MP -o $@ $< $(LIB) $(LDLIBS)

unit-programs: $(UNIT_BIN)
mpi-programs: $(MPI_BIN)
fuzz-programs: $(REPLAY_BIN)

# ---- what is run ----------------------------------------------------------

unit: $(UNIT_BIN)
	@for t in $(UNIT_BIN); do $$t || exit 1; done

mpi: $(MPI_BIN)
	BUILD=$(BUILD) tests/mpi/run.sh

check:
	BUILD=$(BUILD) SANITIZE=$(SANITIZE) CC=$(firstword $(CC)) tests/run.sh --no-install

lint:
	tests/lint/run.sh

fuzz:
	FUZZ_SECONDS=$(FUZZ_SECONDS) tests/fuzz/explore.sh

bench: all $(BENCH_BIN)
	@[ -n "$(MODEL)" ] && [ -n "$(ORACLE_PYTHON)" ] || { echo 'usage: make bench MODEL=FOLDER \
	ORACLE_PYTHON=PYTHON [BENCH="--rounds 3 ..."]; see tests/bench/report.py' >&2; exit 2; }
	PROGRAM=$(BUILD)/lowrank HF_HUB_OFFLINE=1 $(ORACLE_PYTHON) tests/bench/report.py --model $(MODEL) $(BENCH)

config-summary:
	$(info $(SUMMARY))
	@:

# For tests/lint and other scripts.
print-flags:
	@echo '$(CPPFLAGS) $(CSTD) -fopenmp'

install: $(BUILD)/lowrank docs/lowrank.1
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 $(BUILD)/lowrank $(DESTDIR)$(PREFIX)/bin/lowrank
	install -m 644 docs/lowrank.1 $(DESTDIR)$(PREFIX)/share/man/man1/lowrank.1

clean:
	rm -rf build

-include $(OBJ:.o=.d) $(CLI_OBJ:.o=.d) $(UNIT_BIN:=.d) $(MPI_BIN:=.d) $(REPLAY_BIN:=.d) $(BENCH_BIN:=.d) \
         $(BUILD)/tests/unit/nn/tiles.d
