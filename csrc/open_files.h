// Files open for reading; those that hold many samples stay open.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace hmtl {

class OpenFiles;

// A file open for reading. Errors are DecodeErrors that call it `name`.
class File {
 public:
  // Where the process may open no further file, those of `others` are closed that nobody uses.
  File(const std::string& path, const std::string& name, OpenFiles& others);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  // The size now, in bytes; an error where it is no regular file.
  std::int64_t size(const std::string& name) const;

  // Reads up to `count` bytes; fewer only where the file ends.
  std::size_t read(std::int64_t offset, std::uint8_t* bytes, std::size_t count,
                   const std::string& name) const;

 private:
  int descriptor_ = -1;
};

// Opens each file once and keeps it. Beyond the limit those are closed that nobody has used for the
// longest time. Any number of threads may borrow. A file goes on to be read here after its name was
// removed or given to another.
class OpenFiles {
  struct Entry;

 public:
  explicit OpenFiles(std::size_t limit) : limit_(limit) {}

  // Closes what nobody uses at the moment.
  void close_unused();

  // A file that stays open as long as this lives. Throws DecodeError where it cannot be opened.
  class Loan {
   public:
    Loan(OpenFiles& owner, std::int32_t number, const std::string& path, const std::string& name)
        : owner_(owner), entry_(owner.borrow(number, path, name)) {}
    ~Loan() { owner_.give_back(entry_); }
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;

    const File& file() const { return entry_.file; }

   private:
    OpenFiles& owner_;
    Entry& entry_;
  };

 private:
  struct Entry {
    Entry(const std::string& path, const std::string& name, OpenFiles& others)
        : file(path, name, others) {}
    const File file;
    int borrowers = 0;
    std::uint64_t last_use = 0;
  };
  using Entries = std::map<std::int32_t, Entry>;

  Entry& borrow(std::int32_t number, const std::string& path, const std::string& name);
  void give_back(Entry& entry);
  void close_surplus(std::size_t limit);

  const std::size_t limit_;
  std::mutex mutex_;
  Entries entries_;  // by number; an entry stays where it is
  std::uint64_t uses_ = 0;
};

}  // namespace hmtl
