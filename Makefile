# lowrank: distributed LoRA training on CPU clusters.
#
#   make                    build/lowrank
#   make check              all tests
#   make lint               form, layers, banned calls, static analysis
#   make install PREFIX=    program and man page
#
# Variables: CC (the compiler that mpicc calls), SANITIZE=address,undefined,
# BLAS=openblas|mkl|blis, HDF5_DIR=, ONEDNN=0|1, PREFIX=, LAYERS= (build only these).
.DELETE_ON_ERROR:
.SUFFIXES:

MPICC    ?= mpicc
CC       := gcc
SANITIZE ?=
BUILD    ?= build$(if $(SANITIZE),/$(subst $(comma),-,$(SANITIZE)))
comma    := ,
PREFIX   ?= /usr/local

LAYERS   ?= base tensor nn dist format store config text data lora model optim ckpt report train cli

export OMPI_CC := $(CC)

CSTD     := -std=c11 -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE
WARN     := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
            -Wcast-qual -Wwrite-strings -Wvla -Wno-unknown-pragmas
OPT      ?= -O2 -g
PKGS     := yaml-0.1 jansson libpcre2-8 libutf8proc libxxhash
HDF5_PKG := $(shell pkg-config --exists hdf5-openmpi && echo hdf5-openmpi || echo hdf5)
VERSION  := 0.1.0
CPPFLAGS := -Iinclude -DLOWRANK_VERSION='"$(VERSION)"' $(shell pkg-config --cflags $(PKGS) openblas $(HDF5_PKG))
VERSIONS := $(foreach p,$(PKGS) openblas $(HDF5_PKG),$(p) $(shell pkg-config --modversion $(p)))
CPPFLAGS += -DLOWRANK_LIBRARIES='"$(strip $(VERSIONS))"'
CFLAGS   := $(CSTD) $(WARN) $(OPT) -fopenmp -ffp-contract=off
LDLIBS   := $(shell pkg-config --libs $(PKGS) openblas $(HDF5_PKG)) -lm
ifneq ($(SANITIZE),)
CFLAGS   += -fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=undefined
endif

ifneq ($(wildcard /usr/include/dnnl.h),)
ONEDNN   ?= 1
endif
ifeq ($(ONEDNN),1)
CPPFLAGS += -DHAVE_ONEDNN
LDLIBS   += -ldnnl
endif

SRC      := $(foreach l,$(filter-out cli,$(LAYERS)),$(wildcard src/$(l)/*.c))
OBJ      := $(SRC:src/%.c=$(BUILD)/obj/%.o)
CLI_SRC  := $(if $(filter cli,$(LAYERS)),$(wildcard src/cli/*.c))
CLI_OBJ  := $(CLI_SRC:src/%.c=$(BUILD)/obj/%.o)
SIMD_SRC := $(if $(filter nn,$(LAYERS)),$(wildcard src/nn/simd/*.c))
ISAS     := generic $(if $(filter x86_64,$(shell uname -m)),avx2 avx512)
OBJ      += $(foreach isa,$(ISAS),$(SIMD_SRC:src/%.c=$(BUILD)/obj/%.$(isa).o))
LIB      := $(BUILD)/liblowrank.a
UNIT_SRC := $(foreach l,$(LAYERS),$(wildcard tests/unit/$(l)/test_*.c))
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/tests/unit/%)
MPI_SRC  := $(wildcard tests/mpi/test_*.c)
MPI_BIN  := $(MPI_SRC:tests/mpi/%.c=$(BUILD)/tests/mpi/%)

.PHONY: all unit mpi clean
all: $(BUILD)/lowrank

$(BUILD)/lowrank: $(CLI_OBJ) $(LIB)
	$(MPICC) $(CFLAGS) -o $@ $(CLI_OBJ) $(LIB) $(LDLIBS)

$(LIB): $(OBJ)
	@rm -f $@
	ar rcs $@ $(OBJ)

$(BUILD)/obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(MPICC) $(CPPFLAGS) -Isrc $(CFLAGS) -MMD -MP -c -o $@ $<

# src/nn/simd is compiled once per instruction set (src/nn/simd/simd.h).
SIMD_FLAGS := -O3 -fno-math-errno -fno-trapping-math -ffp-contract=fast
ISA_FLAGS_generic :=
ISA_FLAGS_avx2    := -mavx2 -mfma -mf16c -mprefer-vector-width=256
ISA_FLAGS_avx512  := -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c -mprefer-vector-width=512

define simd_rule
$(BUILD)/obj/nn/simd/%.$(1).o: src/nn/simd/%.c
	@mkdir -p $$(@D)
	$(MPICC) $(CPPFLAGS) -Isrc $(CFLAGS) $(SIMD_FLAGS) $(ISA_FLAGS_$(1)) -DNN_ISA=$(1) -MMD -MP -c -o $$@ $$<
endef
$(foreach isa,$(ISAS),$(eval $(call simd_rule,$(isa))))

$(BUILD)/tests/unit/%: tests/unit/%.c $(LIB)
	@mkdir -p $(@D)
	$(MPICC) $(CPPFLAGS) -Itests/unit -Isrc $(CFLAGS) -MMD -MP -o $@ $< $(LIB) -lcmocka $(LDLIBS)

$(BUILD)/tests/mpi/%: tests/mpi/%.c $(LIB)
	@mkdir -p $(@D)
	$(MPICC) $(CPPFLAGS) -Itests/mpi -Isrc $(CFLAGS) -MMD -MP -o $@ $< $(LIB) -lcmocka $(LDLIBS)

$(BUILD)/tests/bench/%: tests/bench/%.c $(LIB)
	@mkdir -p $(@D)
	$(MPICC) $(CPPFLAGS) -Isrc $(CFLAGS) -MMD -MP -o $@ $< $(LIB) $(LDLIBS)

unit: $(UNIT_BIN)
	@for t in $(UNIT_BIN); do $$t || exit 1; done

clean:
	rm -rf build

-include $(OBJ:.o=.d) $(CLI_OBJ:.o=.d) $(UNIT_BIN:=.d) $(MPI_BIN:=.d)
