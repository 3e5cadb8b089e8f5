// A batch from images that lie on the device: windows of them, mirrored or not, as normalized
// numbers in (batch, row, column, plane) order; and the images' labels.
//
// table: for each sample the image, the window's top and left, and how it is mirrored (1: left and
// right, 2: top and bottom). n: the numbers to write, which are at least as many as the samples.
extern "C" __global__ void gather_images(
    const unsigned char *__restrict__ images, const long long *__restrict__ labels,
    const int *__restrict__ table, const T *__restrict__ mean, const T *__restrict__ deviation,
    T *__restrict__ out, long long *__restrict__ chosen, I n, int batch, int height, int width,
    int channels, int rows, int columns, int planes, int fill) {
  FOR(i, n) {
    if (i < batch) chosen[i] = labels[table[4 * i]];
    int plane = (int)(i % planes);
    I rest = i / planes;
    int x = (int)(rest % columns);
    rest /= columns;
    int y = (int)(rest % rows);
    const int *sample = table + 4 * (rest / rows);
    if (sample[3] & 2) y = rows - 1 - y;
    if (sample[3] & 1) x = columns - 1 - x;
    y += sample[1];
    x += sample[2];
    W pixel = (W)fill;
    if (y >= 0 && y < height && x >= 0 && x < width) {
      long long place = ((long long)sample[0] * height + y) * width + x;
      pixel = (W)images[place * channels + (channels == 1 ? 0 : plane)];
    }
    out[i] = (T)((pixel / (W)255 - (W)mean[plane]) / (W)deviation[plane]);
  }
}
