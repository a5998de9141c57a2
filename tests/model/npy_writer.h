// SPDX-License-Identifier: MIT
//
// In:  numbers of one matrix.
// Out: an .npy file, version 1, f4 or i4.
// Why: tests bring inputs and oracles of their own; moevk itself only reads such files.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>
#include <type_traits>
#include <vector>

#include "tools/model/utf8_path.h"

namespace moevk::model {

// Row-major [rows, columns]; the path is UTF-8. False if the file cannot be written.
template <class T>
bool write_npy(const std::string& path, const std::vector<T>& numbers, uint64_t rows, uint64_t columns) {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, int32_t>);
  const std::string descr = std::is_same_v<T, float> ? "<f4" : "<i4";
  std::string header = "{'descr': '" + descr + "', 'fortran_order': False, 'shape': (" + std::to_string(rows) + ", " +
                       std::to_string(columns) + "), }";
  header.append(63 - (10 + header.size()) % 64, ' ');  // data starts at a multiple of 64
  header += '\n';
  std::string text("\x93NUMPY\1\0", 8);
  text += {static_cast<char>(header.size() & 255), static_cast<char>(header.size() >> 8)};
  text += header;
  text.append(reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(T));
  std::ofstream file(path_of(path), std::ios::binary);
  return static_cast<bool>(file.write(text.data(), static_cast<std::streamsize>(text.size())).flush());
}

}  // namespace moevk::model
