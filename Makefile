# monge: build, run the demonstration, test, measure.
#
#   make run            install what is missing, build, simulate a section, correct it, write results/demo/
#   make test           install what is missing, build, run all tests (under 10 minutes)
#   make test-long      the long checks
#   make test-sanitize  tests under address + undefined sanitizers and valgrind
#   make bench          speed table: ratios in one run, fractions of this machine's measured rates
#   make lint           clang-format, cppcheck, and clang's warnings
#
# Variables: CC (gcc), ARCH (native), BUILD (build), RANKS (all cores), MONGE_DATA (real data and golden files beside the project)

CC    = gcc
ARCH  ?= native
BUILD ?= build
RANKS ?= $(shell nproc)

PACKAGES = build-essential pkg-config openmpi-bin libopenmpi-dev libscalapack-openmpi-dev libhdf5-openmpi-dev libcmocka-dev \
           libopenblas-dev libarpack2-dev libqhull-dev librandom123-dev libcairo2-dev libyaml-dev libjansson-dev zlib1g-dev python3-anndata python3-h5py
LIBRARIES = ompi-c hdf5-openmpi cairo yaml-0.1 jansson zlib openblas arpack qhull_r

# messages are cut to their buffers on purpose, hence no format-truncation (a gcc-only warning)
WARN     = -Wall -Wextra -Wpedantic -Wconversion -Werror $(if $(findstring clang,$(CC)),,-Wno-format-truncation)
OPTIMISE = -O3 -march=$(ARCH) -fno-math-errno -fno-trapping-math -g1
INCLUDE  = -Iinclude $(patsubst -I%,-isystem %,$(shell pkg-config --cflags-only-I $(LIBRARIES) 2>/dev/null))
DEFINE   = -D_GNU_SOURCE -DMONGE_VERSION='"$(shell cat .version 2>/dev/null)"'
CFLAGS   = -std=gnu11 $(OPTIMISE) $(WARN)
LDLIBS   = -lscalapack-openmpi $(shell pkg-config --libs $(LIBRARIES) 2>/dev/null) -lm

# a file named *_real.c is compiled in both precisions (include/monge/real.h)
# PROFILER=1 leaves the counters of MPI calls out, for a profiler that takes their place (docs/scaling.md)
SOURCES  = $(filter-out src/cli/main.c $(if $(PROFILER),src/par/traffic_mpi.c),$(wildcard src/*/*.c))
REAL     = $(filter %_real.c,$(SOURCES))
OBJECTS  = $(patsubst src/%.c,$(BUILD)/obj/%.o,$(filter-out $(REAL),$(SOURCES))) \
           $(patsubst src/%_real.c,$(BUILD)/obj/%_f32.o,$(REAL)) $(patsubst src/%_real.c,$(BUILD)/obj/%_f64.o,$(REAL))
TESTS    = $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/*/test_*.c))
SUPPORT  = $(patsubst tests/%.c,$(BUILD)/tests/%.o,$(wildcard tests/support/*.c))
BENCHES  = $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/bench/*.c))

.PHONY: all tests run test test-long test-sanitize bench lint deps clean format
.SECONDARY:
all: $(BUILD)/monge $(BUILD)/libmonge.a
tests: $(TESTS)

$(BUILD)/monge: $(BUILD)/obj/cli/main.o $(LEAK_CHECK) $(BUILD)/libmonge.a
	@echo LD $@; $(CC) $(CFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/libmonge.a: $(OBJECTS)
	@echo AR $@; rm -f $@ && ar rcs $@ $^

$(BUILD)/obj/%_f32.o: src/%_real.c Makefile
	@mkdir -p $(@D)
	@echo CC $< f32; $(CC) $(CFLAGS) $(DEFINE) -DMONGE_F32 $(INCLUDE) -MMD -MP -c -o $@ $<
$(BUILD)/obj/%_f64.o: src/%_real.c Makefile
	@mkdir -p $(@D)
	@echo CC $< f64; $(CC) $(CFLAGS) $(DEFINE) -DMONGE_F64 $(INCLUDE) -MMD -MP -c -o $@ $<
$(BUILD)/obj/%.o: src/%.c Makefile
	@mkdir -p $(@D)
	@echo CC $<; $(CC) $(CFLAGS) $(DEFINE) $(INCLUDE) -MMD -MP -c -o $@ $<

$(BUILD)/tests/%.o: tests/%.c Makefile
	@mkdir -p $(@D)
	@echo CC $<; $(CC) $(CFLAGS) $(DEFINE) $(INCLUDE) -Itests -MMD -MP -c -o $@ $<
$(BUILD)/tests/%: $(BUILD)/tests/%.o $(SUPPORT) $(LEAK_CHECK) $(BUILD)/libmonge.a
	@echo LD $@; $(CC) $(CFLAGS) -o $@ $^ -lcmocka $(LDLIBS)

$(BUILD)/obj/cli/submit_script.o: slurm/launch.sh

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# apt only when something is missing; root or sudo
deps:
	@missing=""; for p in $(PACKAGES); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then echo "installing:$$missing"; as=""; [ $$(id -u) = 0 ] || as=sudo; \
	$$as apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$as apt-get install -y -qq --no-install-recommends $$missing; fi

run: deps
	@$(MAKE) --no-print-directory -j$(RANKS) all
	@BUILD=$(BUILD) RANKS=$(RANKS) jobs/demo.sh

test: deps
	@$(MAKE) --no-print-directory -j$(RANKS) all tests
	@BUILD=$(BUILD) tests/run quick

test-long: deps
	@$(MAKE) --no-print-directory -j$(RANKS) all tests
	@BUILD=$(BUILD) tests/run long

# two builds: valgrind knows neither the newest instructions nor sanitized programs
SANITIZED = BUILD=build-sanitize LEAK_CHECK=build-sanitize/tests/sanitize/leak_check.o \
            OPTIMISE='-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined'
CHECKED   = BUILD=build-memcheck OPTIMISE='-O1 -g'
test-sanitize: PACKAGES += valgrind
test-sanitize: deps
	@$(MAKE) --no-print-directory -j$(RANKS) $(SANITIZED) all tests
	@BUILD=build-sanitize tests/run sanitize
	@$(MAKE) --no-print-directory -j$(RANKS) $(CHECKED) all tests
	@BUILD=build-memcheck tests/run memcheck

lint: PACKAGES += clang clang-format cppcheck
lint: deps
	@CFLAGS="$(subst ",\",$(CFLAGS) $(DEFINE) $(INCLUDE))" tests/lint

bench: deps
	@$(MAKE) --no-print-directory -j$(RANKS) all $(BENCHES)
	@BUILD=$(BUILD) tests/bench/run

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

clean:
	rm -rf $(BUILD) build-sanitize build-memcheck
