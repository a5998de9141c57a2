// SPDX-License-Identifier: MIT
//
// In:  the line of JSON that the program device_peak prints, from a file or by running it.
// Out: what the device does at most.
// Why: `bench` tells how far a layer is from the end. The measurement needs Vulkan, which the command does not know, so
//      a program of its own makes it.
#pragma once

#include <cstdint>
#include <string>

#include "tools/moevk/roofline.h"

namespace moevk::cli {

struct MeasuredPeak {
  DevicePeak peak;
  double read_gbps = 0, copy_gbps = 0, submit_us = 0;
  std::string device;  // as device_peak names it
};

// Throws UsageError.
MeasuredPeak parse_device_peak(const std::string& text, const std::string& what);
MeasuredPeak read_device_peak(const std::string& path);
// Runs device_peak, which lies beside this program, on the library `library` (empty: its default) and the device
// `index`. Throws UsageError where it is not there or fails.
MeasuredPeak run_device_peak(const std::string& library, uint32_t index);

}  // namespace moevk::cli
