/* The loops of faafo_lab/app/kernel.py as C programmers would write them: GCC's vectors, tiles of ROWS vectors. */
#include <stdint.h>
#include <string.h>

#ifdef __AVX512F__
#define COLUMNS 8
#elif defined(__AVX2__)
#define COLUMNS 4
#else
#define COLUMNS 2
#endif
#define ROWS 4
#define STEPS 2

typedef double reals __attribute__((vector_size(8 * COLUMNS)));
typedef int64_t wholes __attribute__((vector_size(8 * COLUMNS)));

int columns(void) { return COLUMNS; }

static int any(wholes lanes) {
    int64_t found = 0;
    for (int lane = 0; lane < COLUMNS; lane++) found |= lanes[lane];
    return found != 0;
}

void strip(uint8_t *restrict pixels, int64_t top, int64_t rows, int64_t width, int64_t iterations, double x_span,
           double x_steps, double xa, double y_span, double y_steps, double ya, double cx, double cy) {
    const int64_t row_bytes = width + 1;
    for (int64_t y = 0; y < rows; y += ROWS) {
        uint8_t *first_row = pixels + y * row_bytes;
        for (int64_t tile = (width + COLUMNS - 1) / COLUMNS; tile-- > 0;) {
            const int64_t x = tile * COLUMNS;
            reals zx = {0}, re[ROWS], im[ROWS];
            wholes inside, count[ROWS], any_inside;
            for (int lane = 0; lane < COLUMNS; lane++) zx[lane] = (double)(x + lane);
            zx = zx * x_span / x_steps + xa;
            for (int row = 0; row < ROWS; row++) {
                re[row] = zx;
                im[row] = (double)(top + y + row) * y_span / y_steps + ya + (reals){0};
                count[row] = (wholes){0};
            }
            int64_t done = 0;
            do {
                any_inside = (wholes){0};
                for (int row = 0; row < ROWS; row++) {
                    for (int step = 0; step < STEPS; step++) {
                        const reals re2 = re[row] * re[row], im2 = im[row] * im[row];
                        inside = re2 + im2 <= 4.0; /* an orbit that has escaped does not come back */
                        count[row] -= inside;
                        im[row] = (re[row] + re[row]) * im[row] + cy;
                        re[row] = re2 - im2 + cx;
                    }
                    any_inside |= inside;
                }
                done += STEPS;
            } while (done < iterations && any(any_inside));
            for (int row = 0; row < ROWS; row++) {
                uint8_t *place = first_row + row * row_bytes + 1 + x;
                for (int lane = 0; lane < COLUMNS; lane++) {
                    const int64_t steps = count[row][lane];
                    place[lane] = (steps < iterations ? steps : iterations - 1) & 31;
                }
            }
        }
        for (int row = 0; row < ROWS; row++) first_row[row * row_bytes] = 0;
    }
}
