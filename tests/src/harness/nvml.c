/* The driver's library as far as a node asks it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, INSUFFICIENT_SIZE = 7, GPU_IS_LOST = 15 };
enum { MOST = 8 };

struct memory { unsigned version; unsigned long long total, reserved, free, used; };

static int gpus[MOST] = { 0, 1, 2, 3, 4, 5, 6, 7 };

/* STAND_IN_GPUS of them, and one more that fell off the bus. */
static unsigned count(void) {
    const char *told = getenv("STAND_IN_GPUS");
    return told ? (unsigned)atoi(told) : 0;
}

static int text(const char *value, char *to, unsigned size) {
    if (strlen(value) >= size) return INSUFFICIENT_SIZE;
    strcpy(to, value);
    return SUCCESS;
}

int nvmlInit_v2(void) { return SUCCESS; }
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int error) { return error == GPU_IS_LOST ? "GPU is lost" : "error"; }

int nvmlSystemGetDriverVersion(char *to, unsigned size) { return text("550.54.15", to, size); }

int nvmlDeviceGetCount_v2(unsigned *to) {
    *to = count() + 1;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, int **gpu) {
    if (index == count()) return GPU_IS_LOST;
    if (index > count() || index >= MOST) return INVALID_ARGUMENT;
    *gpu = &gpus[index];
    return SUCCESS;
}

int nvmlDeviceGetUUID(int *gpu, char *to, unsigned size) {
    char uuid[64];
    snprintf(uuid, sizeof uuid, "GPU-00000000-0000-4000-8000-00000000000%d", *gpu);
    return text(uuid, to, size);
}

int nvmlDeviceGetName(int *gpu, char *to, unsigned size) {
    (void)gpu;
    return text("Stand-in", to, size);
}

int nvmlDeviceGetMemoryInfo_v2(int *gpu, struct memory *memory) {
    (void)gpu;
    memory->total = memory->free = 1ULL << 34;
    memory->reserved = memory->used = 0;
    return SUCCESS;
}
