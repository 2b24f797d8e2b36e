/* Reference loops of benchmarks/simulation.py: Glauber dynamics of 0/1 units, single precision, as tight as they come. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t word;

/* A uniform number of 53 bits from a word each, as the kernels draw them, or two of 24 bits from every word. */
#ifdef WIDE
typedef double uniform_t;
#define EXP exp
#else
typedef float uniform_t;
#define EXP expf
#endif

#define ARGUMENTS                                                                                                      \
    long n, long n_row, long thin, const uint32_t *first, const uint32_t *source, const float *weight,                 \
        const uint32_t *offset, const uint32_t *target, const float *sent, const float *rows, const float *bias,       \
        const float *middle, const float *half, word *seed, uint8_t *out

static inline word turn(word x, int k) { return (x << k) | (x >> (64 - k)); }

static inline word next(word *s)
{
    word value = turn(s[0] + s[3], 23) + s[0], shifted = s[1] << 17;
    s[2] ^= s[0]; s[3] ^= s[1]; s[1] ^= s[2]; s[0] ^= s[3]; s[2] ^= shifted; s[3] = turn(s[3], 45);
    return value;
}

/* Eight generators side by side. */
static void fill(word *s, uniform_t *out, long n)
{
#ifdef WIDE
    const long step = 8;
#else
    const long step = 16;
#endif
    for (long i = 0; i < n; i += step)
        for (int k = 0; k < 8; k++) {
            word value = turn(s[k] + s[24 + k], 23) + s[k], shifted = s[8 + k] << 17;
            s[16 + k] ^= s[k]; s[24 + k] ^= s[8 + k]; s[8 + k] ^= s[16 + k]; s[k] ^= s[24 + k];
            s[16 + k] ^= shifted; s[24 + k] = turn(s[24 + k], 45);
#ifdef WIDE
            out[i + k] = (double)(int64_t)(value >> 11) * 0x1p-53;
#else
            out[i + k] = (float)(int32_t)(value >> 40) * 0x1p-24f;
            out[i + 8 + k] = (float)(int32_t)((value >> 8) & 0xffffff) * 0x1p-24f;
#endif
        }
}

static inline int decide(float h, uniform_t u, const float *middle, const float *half)
{
    float z = (h + 32.0f) * 16.0f;
    z = z < 0.0f ? 0.0f : z;
    z = z > 1023.0f ? 1023.0f : z;
    int cell = (int)z;
    uniform_t away = u - middle[cell];
    if (__builtin_expect((away < 0 ? -away : away) <= half[cell], 0)) return u * (1 + EXP(-h)) < 1;
    return u < middle[cell];
}

#ifdef WIDE
#define FRACTION uniform_t u = (double)(int64_t)((drawn * (word)n) >> 11) * 0x1p-53;
#else
#define FRACTION uniform_t u = (float)(int32_t)((uint32_t)drawn >> 8) * 0x1p-24f;
#endif

#define DRAW                                                                                                           \
    word drawn = next(s);                                                                                              \
    uint32_t i = (uint32_t)(((drawn >> 32) * (word)n) >> 32);                                                          \
    FRACTION

#define ADD(h, i, state)                                                                                               \
    for (uint32_t e = first[i]; e < first[i + 1]; e += 8)                                                              \
        for (int k = 0; k < 8; k++) h += weight[e + k] * state[source[e + k]];

/* The field added up at each attempt. */
void sequential_add(ARGUMENTS)
{
    word s[4] = {seed[0], seed[1], seed[2], seed[3]};
    float *state = calloc(n, sizeof(float));
    for (long row = 0; row < n_row; row++) {
        for (long k = 0; k < thin; k++) {
            DRAW
            float h = bias[i];
            ADD(h, i, state)
            state[i] = decide(h, u, middle, half) ? 1.0f : 0.0f;
        }
        for (long i = 0; i < n; i++) out[row * n + i] = state[i] != 0.0f;
    }
    memcpy(seed, s, sizeof s);
    free(state);
}

#define KEEP(...)                                                                                                      \
    word s[4] = {seed[0], seed[1], seed[2], seed[3]};                                                                  \
    float *field = malloc(n * sizeof(float));                                                                          \
    uint8_t *state = calloc(n, 1);                                                                                     \
    memcpy(field, bias, n * sizeof(float));                                                                            \
    for (long row = 0; row < n_row; row++) {                                                                           \
        for (long k = 0; k < thin; k++) {                                                                              \
            DRAW                                                                                                       \
            int active = decide(field[i], u, middle, half);                                                            \
            if (active != state[i]) {                                                                                  \
                float sign = active ? 1.0f : -1.0f;                                                                    \
                state[i] = active;                                                                                     \
                __VA_ARGS__                                                                                            \
            }                                                                                                          \
        }                                                                                                              \
        memcpy(out + row * n, state, n);                                                                               \
    }                                                                                                                  \
    memcpy(seed, s, sizeof s);                                                                                         \
    free(field);                                                                                                       \
    free(state);

/* Fields kept, and changed by flips: through lists, and through whole rows. */
void sequential_keep(ARGUMENTS)
{
    KEEP(for (uint32_t e = offset[i]; e < offset[i + 1]; e++) field[target[e]] += sign * sent[e];)
}

void sequential_keep_rows(ARGUMENTS)
{
    KEEP(for (long j = 0; j < n; j++) field[j] += sign * rows[i * n + j];)
}

#define PARALLEL(...)                                                                                                  \
    long room = (n + 15) / 16 * 16;                                                                                    \
    float *field = malloc(n * sizeof(float)), *state = calloc(n, sizeof(float));                                       \
    uniform_t *uniform = malloc(room * sizeof(uniform_t));                                                             \
    uint32_t *active = malloc((n + 1) * sizeof(uint32_t));                                                             \
    for (long row = 0; row < n_row; row++) {                                                                           \
        for (long k = 0; k < thin; k++) {                                                                              \
            long n_active = 0;                                                                                         \
            fill(seed, uniform, room);                                                                                 \
            __VA_ARGS__                                                                                                   \
            for (long i = 0; i < n; i++) state[i] = decide(field[i], uniform[i], middle, half) ? 1.0f : 0.0f;          \
        }                                                                                                              \
        for (long i = 0; i < n; i++) out[row * n + i] = state[i] != 0.0f;                                              \
    }                                                                                                                  \
    free(field); free(uniform); free(state); free(active);

#define LIST                                                                                                           \
    for (long i = 0; i < n; i++) { active[n_active] = i; n_active += state[i] != 0.0f; }                               \
    memcpy(field, bias, n * sizeof(float));

/* Fields added up for each target; or, from active units only, through lists, and through whole rows, four at a time. */
void parallel_add(ARGUMENTS)
{
    PARALLEL(for (long i = 0; i < n; i++) { float h = bias[i]; ADD(h, i, state) field[i] = h; } (void)n_active;)
}

void parallel_list(ARGUMENTS)
{
    PARALLEL(LIST for (long a = 0; a < n_active; a++) {
        uint32_t i = active[a];
        for (uint32_t e = offset[i]; e < offset[i + 1]; e++) field[target[e]] += sent[e];
    })
}

void parallel_rows(ARGUMENTS)
{
    PARALLEL(LIST long a = 0; for (; a + 4 <= n_active; a += 4) {
        const float *p = rows + active[a] * n, *q = rows + active[a + 1] * n;
        const float *r = rows + active[a + 2] * n, *t = rows + active[a + 3] * n;
        for (long j = 0; j < n; j++) field[j] += p[j] + q[j] + r[j] + t[j];
    } for (; a < n_active; a++) for (long j = 0; j < n; j++) field[j] += rows[active[a] * n + j];)
}
