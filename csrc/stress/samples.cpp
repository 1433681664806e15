#include "samples.h"

#include <jpeglib.h>
#include <png.h>

#include <cstdio>
#include <fstream>
#include <random>
#include <stdexcept>

#include "crc.h"
#include "work.h"

namespace hmtl::stress {
namespace {

using Bytes = std::vector<std::uint8_t>;

// Smooth enough to compress, different everywhere.
Bytes picture(int height, int width, std::mt19937& random) {
  Bytes rgb(static_cast<std::size_t>(height * width * 3));
  const auto phase = static_cast<unsigned>(random());
  for (std::size_t i = 0; i < rgb.size(); ++i) {
    const auto at = static_cast<unsigned>(i);
    rgb[i] = static_cast<std::uint8_t>((at / 7 + phase + random() % 16) & 255);
  }
  return rgb;
}

void write(const std::string& path, const Bytes& bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  if (!file) throw std::runtime_error("cannot write " + path);
}

Bytes jpeg(int height, int width, bool progressive, std::mt19937& random) {
  Bytes rgb = picture(height, width, random);
  jpeg_compress_struct encoder;
  jpeg_error_mgr errors;
  encoder.err = jpeg_std_error(&errors);
  jpeg_create_compress(&encoder);
  unsigned char* data = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&encoder, &data, &size);
  encoder.image_height = static_cast<JDIMENSION>(height);
  encoder.image_width = static_cast<JDIMENSION>(width);
  encoder.input_components = 3;
  encoder.in_color_space = JCS_RGB;
  jpeg_set_defaults(&encoder);
  if (progressive) jpeg_simple_progression(&encoder);
  jpeg_start_compress(&encoder, TRUE);
  while (encoder.next_scanline < encoder.image_height) {
    JSAMPROW row = rgb.data() + encoder.next_scanline * static_cast<unsigned>(width) * 3;
    jpeg_write_scanlines(&encoder, &row, 1);
  }
  jpeg_finish_compress(&encoder);
  const Bytes encoded(data, data + size);
  jpeg_destroy_compress(&encoder);
  std::free(data);
  return encoded;
}

Bytes png(int height, int width, std::mt19937& random) {
  const Bytes rgb = picture(height, width, random);
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.height = static_cast<png_uint_32>(height);
  image.width = static_cast<png_uint_32>(width);
  image.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = 0;
  png_image_write_to_memory(&image, nullptr, &size, 0, rgb.data(), 0, nullptr);
  Bytes encoded(size);
  if (!png_image_write_to_memory(&image, encoded.data(), &size, 0, rgb.data(), 0, nullptr)) {
    throw std::runtime_error(image.message);
  }
  encoded.resize(size);
  return encoded;
}

// Collects samples; every file is written once.
class Maker {
 public:
  explicit Maker(std::string folder) : folder_(std::move(folder)) {
    samples_.settings.size = kSize;
    samples_.settings.grid = kGrid;
  }

  // `size` and `kept` let the extent and the file disagree.
  void add_file(const Bytes& bytes, Codec codec, std::int64_t size, std::size_t kept) {
    add_path();
    write(samples_.paths.back(), Bytes(bytes.begin(), bytes.begin() + static_cast<long>(kept)));
    add({last_file(), codec, 0, size, 0, 0, Extent::kWholeFile});
  }
  void add_whole(const Bytes& bytes, Codec codec) {
    add_file(bytes, codec, static_cast<std::int64_t>(bytes.size()), bytes.size());
  }
  void add_missing() {
    add_path();
    add({last_file(), Codec::kJpeg, 0, 100, 0, 0, Extent::kWholeFile});
  }

  // `count` arrays one behind the other, the last of which is cut off in the middle. Those that are
  // packed (red first) have checksums, which the first of them does not fulfil.
  void add_container(Codec codec, int count, int side, std::mt19937& random) {
    const std::int64_t size = std::int64_t{3} * side * side;
    Bytes bytes;
    std::vector<std::uint32_t> checksums;
    for (int row = 0; row < count; ++row) {
      const Bytes pixels = picture(side, side, random);
      bytes.insert(bytes.end(), pixels.begin(), pixels.end());
      checksums.push_back(codec == Codec::kRgb ? crc32(pixels.data(), pixels.size()) : 0);
    }
    bytes.resize(bytes.size() - static_cast<std::size_t>(size) / 2);
    if (codec == Codec::kRgb) bytes[99] ^= 1;
    add_path();
    write(samples_.paths.back(), bytes);
    const auto sides = static_cast<std::uint16_t>(side);
    for (int row = 0; row < count; ++row) {
      add({last_file(), codec, row * size, size, sides, sides, row,
           checksums[static_cast<std::size_t>(row)]});
    }
    add({last_file(), codec, 0, 0, sides, sides, count});
  }

  Samples take() { return std::move(samples_); }

 private:
  void add_path() {
    samples_.paths.push_back(folder_ + "/" + std::to_string(samples_.paths.size()));
  }
  std::int32_t last_file() const { return static_cast<std::int32_t>(samples_.paths.size()) - 1; }

  void add(const Extent& extent) {
    Sample sample{};
    sample.extent = extent;
    DrawSettings drawing;
    Augmentation& augmentation = drawing.augmentation;
    augmentation.margin = {0.7, 1.4};
    augmentation.area = {0.6, 1};
    augmentation.mirror = augmentation.blur = augmentation.down_scale = augmentation.cutout = 0.5;
    augmentation.turn = augmentation.noise = 0.5;
    augmentation.noise_deviation = {0.02, 0.1};
    augmentation.hue = {-36, 36};
    augmentation.contrast = {0.6, 1.4};
    augmentation.down_scale_to = {0.3, 0.5};
    augmentation.cutout_area = {0.05, 0.2};
    drawing.pretext = Pretext::kPuzzleRotation;
    drawing.grid = kGrid;
    drawing.size = kSize;
    drawing.puzzled_fraction = 0.7;
    const auto number = static_cast<std::int64_t>(samples_.all.size());
    const Box face{20, 20, 70, 75}, box{10, 10, 90, 90};
    draw_batch(drawing, 1, 0, &number, 1, kViews, &face, &box, sample.params);
    for (int i = 0; i < 3; ++i) sample.pose[i] = static_cast<float>(number * 3 + i);
    samples_.all.push_back(std::move(sample));
  }

  const std::string folder_;
  Samples samples_;
};

// What one thread makes of a sample; what is decoded of it is kept for the work on decoded pixels.
void do_alone(const FileTable& files, const Samples& samples, int number, RenderScratch& scratch,
              Sample& sample) {
  for (const Kind kind : kKinds) {
    Work work(samples, kind, {number});
    Outcome& outcome = sample.outcomes[static_cast<int>(kind)];
    try {
      run_row(work.request(), 0, files, scratch);
      outcome.bytes = work.written(0);
    } catch (const DecodeError& error) {
      outcome.reason = error.what();
      continue;
    }
    if (kind == Kind::kDecode) {
      sample.pixels = work.slot(0);
      sample.source = work.source(0);
      sample.source.pixels = reinterpret_cast<std::uintptr_t>(sample.pixels.data());
    }
  }
}

}  // namespace

Samples make_samples(const std::string& folder) {
  std::mt19937 random(7);
  Maker maker(folder);
  for (const int side : {96, 120, 250}) {
    maker.add_whole(jpeg(side, side + 17, false, random), Codec::kJpeg);
    maker.add_whole(jpeg(side, side + 3, true, random), Codec::kJpeg);
    maker.add_whole(png(side, side + 9, random), Codec::kPng);
  }
  maker.add_container(Codec::kBgr, 6, 100, random);
  maker.add_container(Codec::kRgb, 6, 100, random);
  const Bytes whole = jpeg(110, 110, false, random);
  const auto size = static_cast<std::int64_t>(whole.size());
  maker.add_file(whole, Codec::kJpeg, size, whole.size() / 2);      // shrank after it was indexed
  maker.add_file(whole, Codec::kJpeg, size / 3, whole.size() / 3);  // ends too early
  maker.add_whole(Bytes(500, 0x5A), Codec::kPng);                   // is no picture
  maker.add_missing();
  Samples samples = maker.take();
  const FileTable files(samples.paths);
  RenderScratch scratch;
  for (std::size_t number = 0; number < samples.all.size(); ++number) {
    do_alone(files, samples, static_cast<int>(number), scratch, samples.all[number]);
  }
  return samples;
}

}  // namespace hmtl::stress
