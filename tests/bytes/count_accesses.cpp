// SPDX-License-Identifier: MIT
//
// Numbers are of the SPIR-V specification. Behind each load and store of a buffer stands a call of one function, which
// is added to the module. An access through a descriptor gives its offset, made of the access chain's indices; one
// through a device address gives that.
#include "tests/bytes/count_accesses.h"

#include <cstring>
#include <map>
#include <optional>
#include <stdexcept>
#include <utility>

#include "tests/bytes/spirv_words.h"

namespace moe_bytes {
namespace {

class Counter {
 public:
  Counter(const uint32_t* code, size_t words, uint64_t address, uint32_t subgroup_size)
      : code_(code),
        words_(words),
        address_(address),
        subgroup_size_(subgroup_size),
        bound_(words > kHeaderWords ? code[3] : 0) {}

  CountedKernel run() {
    if (words_ < kHeaderWords) throw std::runtime_error("no SPIR-V");
    read_globals();
    declare();
    write();
    CountedKernel counted;
    counted.code = std::move(out_);
    counted.binding_names = std::move(binding_names_);
    return counted;
  }

 private:
  struct Instruction {
    uint32_t op;
    const uint32_t* words;
    uint32_t length;
  };

  template <class Visit>
  void each(Visit visit) const {
    for (size_t at = kHeaderWords; at < words_;) {
      const uint32_t length = code_[at] >> 16;
      if (length == 0 || at + length > words_) throw std::runtime_error("an instruction without an end");
      visit(Instruction{code_[at] & 0xFFFF, code_ + at, length});
      at += length;
    }
  }

  uint32_t new_id() { return bound_++; }

  void read_globals() {
    std::map<uint32_t, std::string> names;
    std::map<uint32_t, uint32_t> sets, bindings;
    each([&](const Instruction& one) {
      const uint32_t* w = one.words;
      if (one.op == kName) names[w[1]] = reinterpret_cast<const char*>(w + 2);
      if (one.op >= kTypeVoid && one.op <= kTypeLast) types_[w[1]] = one;
      if (one.op == kConstant && one.length == 4) constants_[w[2]] = w[3];
      if (one.op == kVariable && (w[3] == kStorageBuffer || w[3] == kUniform)) variables_[w[2]] = w[1];
      if (one.op == kAccessChain || one.op == kInBoundsAccessChain) chains_[w[2]] = one;
      if (one.op == kDecorate && w[2] == kArrayStride) strides_[w[1]] = w[3];
      if (one.op == kDecorate && w[2] == kBuiltIn && w[3] == kSubgroupLocalInvocationId) {
        throw std::runtime_error("a kernel that numbers its invocations by subgroup");
      }
      if (one.op == kDecorate && w[2] == kDescriptorSet) sets[w[1]] = w[3];
      if (one.op == kDecorate && w[2] == kBinding) bindings[w[1]] = w[3];
      if (one.op == kMemberDecorate && w[3] == kOffset) offsets_[{w[1], w[2]}] = w[4];
      if (may_give_pointer(one.op)) result_types_[w[2]] = w[1];
    });
    for (const auto& [variable, type] : variables_) {
      if (sets.count(variable) == 0 || sets[variable] != 0 || bindings[variable] >= kCountedBindings) {
        throw std::runtime_error("a buffer in another set than 0, or beyond its bindings");
      }
      const uint32_t binding = bindings[variable];
      bindings_[variable] = binding;
      if (binding_names_.size() <= binding) binding_names_.resize(binding + 1);
      binding_names_[binding] = names[pointee(type)];
    }
  }

  static bool may_give_pointer(uint32_t op) {
    constexpr uint32_t kOthers[] = {67,  70,  83,
                                    120, 169, 245};  // PtrAccessChain.., CopyObject, ConvertUToPtr, Select, Phi
    for (const uint32_t other : kOthers) {
      if (op == other) return true;
    }
    return op == kVariable || op == kAccessChain || op == kInBoundsAccessChain || op == kBitcast || op == kLoad ||
           op == kFunctionParameter || op == kFunctionCall;
  }

  uint32_t pointee(uint32_t pointer_type) const { return types_.at(pointer_type).words[3]; }

  // Types other than arrays, structs and pointers must not be declared twice.
  uint32_t type(uint32_t op, std::initializer_list<uint32_t> operands) {
    for (const auto& [id, one] : types_) {
      if (one.op == op && one.length == operands.size() + 2 &&
          std::memcmp(one.words + 2, operands.begin(), operands.size() * 4) == 0) {
        return id;
      }
    }
    const uint32_t id = new_id();
    globals_.push_back(static_cast<uint32_t>(operands.size() + 2) << 16 | op);
    globals_.push_back(id);
    globals_.insert(globals_.end(), operands);
    return id;
  }

  // Globals are put before functions when these are done, so that a constant may be asked for anywhere.
  uint32_t constant(uint32_t value) {
    const auto [found, is_new] = own_constants_.insert({value, 0});
    if (is_new) {
      found->second = new_id();
      append(&globals_, kConstant, {uint_, found->second, value});
    }
    return found->second;
  }

  void declare() {
    void_ = type(kTypeVoid, {});
    bool_ = type(kTypeBool, {});
    uint_ = type(kTypeInt, {32, 0});
    pair_ = type(kTypeVector, {uint_, 2});
    function_type_ = type(kTypeFunction, {void_, uint_, uint_, uint_});
    const uint32_t array = new_id(), block = new_id();
    block_pointer_ = new_id(), word_pointer_ = new_id(), address_pair_ = new_id(), function_ = new_id();
    append(&globals_, kTypeRuntimeArray, {array, uint_});
    append(&globals_, kTypeStruct, {block, array});
    append(&globals_, kTypePointer, {block_pointer_, kPhysicalStorageBuffer, block});
    append(&globals_, kTypePointer, {word_pointer_, kPhysicalStorageBuffer, uint_});
    quad_ = type(kTypeVector, {uint_, 4});
    lane_ = new_id();
    const uint32_t input = new_id();
    append(&globals_, kTypePointer, {input, kInput, uint_});
    append(&globals_, kVariable, {input, lane_, kInput});
    append(&decorations_, kDecorate, {lane_, kBuiltIn, kSubgroupLocalInvocationId});
    append(&globals_, kConstantComposite,
           {pair_, address_pair_, constant(static_cast<uint32_t>(address_)),
            constant(static_cast<uint32_t>(address_ >> 32))});
    append(&decorations_, kDecorate, {array, kArrayStride, 4});
    append(&decorations_, kDecorate, {block, kBlock});
    append(&decorations_, kMemberDecorate, {block, 0, kOffset, 0});
    count_function();
  }

  // An instruction of `body` that gives a word.
  uint32_t word(Words* body, uint32_t op, std::initializer_list<uint32_t> operands) {
    const uint32_t id = new_id();
    body->push_back(static_cast<uint32_t>(operands.size() + 3) << 16 | op);
    body->insert(body->end(), {uint_, id});
    body->insert(body->end(), operands);
    return id;
  }

  // A pointer to this one of the counters' words.
  uint32_t counter(Words* f, uint32_t index) {
    const uint32_t id = new_id();
    append(f, kAccessChain, {word_pointer_, id, counters_, constant(0), index});
    return id;
  }

  void add(Words* f, uint32_t first, uint32_t slot, uint32_t words) {
    const uint32_t at = counter(f, word(f, kIAdd, {slot, constant(first)}));
    word(f, kAtomicIAdd, {at, constant(kScopeDevice), constant(0), words});
  }

  // void count(uint offset, uint slot, uint words), all into functions_.
  void count_function() {
    Words* f = &functions_;
    const uint32_t offset = new_id(), slot = new_id(), words = new_id();
    counters_ = new_id();
    append(f, kFunction, {void_, function_, 0, function_type_});
    for (const uint32_t parameter : {offset, slot, words}) append(f, kFunctionParameter, {uint_, parameter});
    append(f, kLabel, {new_id()});
    append(f, kBitcast, {block_pointer_, counters_, address_pair_});
    const uint32_t base_at = counter(f, word(f, kShiftRightLogical, {slot, constant(1)}));
    const uint32_t base = word(f, kLoad, {base_at, 2, 4});  // Aligned 4
    const uint32_t address = word(f, kIAdd, {base, offset});
    add(f, kRequested, slot, words);
    const uint32_t line = word(f, kShiftRightLogical, {address, constant(6)});
    static_assert(kLineBytes == 1u << 6);
    const uint32_t bit = word(f, kShiftLeftLogical, {constant(1), word(f, kBitwiseAnd, {line, constant(31)})});
    const uint32_t writes = word(f, kBitwiseAnd, {slot, constant(1)});
    const uint32_t part = word(f, kIAdd, {constant(kLines), word(f, kIMul, {writes, constant(kLineWords)})});
    const uint32_t of_line = word(f, kIAdd, {part, word(f, kShiftRightLogical, {line, constant(5)})});
    word(f, kAtomicOr, {counter(f, of_line), constant(kScopeDevice), constant(0), bit});

    if (subgroup_size_ != 0) count_by_subgroup(f, address, slot, words);
    append(f, kReturn, {});
    append(f, kFunctionEnd, {});
  }

  // An invocation counts for its subgroup if none before it has the same address. Without a loop: drivers of the LLVM
  // pipe family end a kernel's loops after 65535 turns of all loops together, and a kernel must still do its work.
  void count_by_subgroup(Words* f, uint32_t address, uint32_t slot, uint32_t words) {
    const uint32_t zero = constant(0), subgroup = constant(kScopeSubgroup);
    const uint32_t lane = word(f, kLoad, {lane_});
    const uint32_t truth = new_id(), active = new_id();
    append(f, kIEqual, {bool_, truth, zero, zero});
    append(f, kGroupNonUniformBallot, {quad_, active, subgroup, truth});
    uint32_t counts = words;
    for (uint32_t other = 0; other + 1 < subgroup_size_; ++other) {
      const uint32_t theirs = word(f, kGroupNonUniformBroadcast, {subgroup, address, constant(other)});
      const uint32_t part_of_active = word(f, kCompositeExtract, {active, other / 32});
      const uint32_t runs =
          word(f, kBitwiseAnd, {word(f, kShiftRightLogical, {part_of_active, constant(other % 32)}), constant(1)});
      const uint32_t is_before = new_id(), is_same = new_id(), is_active = new_id(), both = new_id(), all = new_id();
      append(f, kULessThan, {bool_, is_before, constant(other), lane});
      append(f, kIEqual, {bool_, is_same, theirs, address});
      append(f, kIEqual, {bool_, is_active, runs, constant(1)});
      append(f, kLogicalAnd, {bool_, both, is_before, is_same});
      append(f, kLogicalAnd, {bool_, all, both, is_active});
      counts = word(f, kSelect, {all, zero, counts});
    }
    add(f, kCoalesced, slot, counts);
  }

  uint32_t words_of(uint32_t type_id) const {
    const Instruction& one = types_.at(type_id);
    if ((one.op == kTypeInt || one.op == kTypeFloat) && one.words[2] == 32) return 1;
    if (one.op == kTypeVector) return words_of(one.words[2]) * one.words[3];
    throw std::runtime_error("an element that is not of whole words");
  }

  // Bytes from the beginning of a descriptor's buffer to what the chain leads to.
  uint32_t offset_of(const Instruction& chain) {
    uint32_t fixed = 0;
    std::optional<uint32_t> sum;
    uint32_t at = pointee(variables_.at(chain.words[3]));
    for (uint32_t i = 4; i < chain.length; ++i) {
      const uint32_t index = chain.words[i];
      const Instruction& container = types_.at(at);
      uint32_t stride = 4;
      if (container.op == kTypeStruct) {
        const uint32_t member = constants_.at(index);
        fixed += offsets_.at({at, member});
        at = container.words[2 + member];
        continue;
      }
      if (container.op == kTypeVector) {
        words_of(at);
      } else if (strides_.count(at) != 0) {
        stride = strides_.at(at);
      } else {
        throw std::runtime_error("an array of descriptors");  // or of what has no place in memory
      }
      at = container.words[2];
      const auto known = constants_.find(index);
      if (known != constants_.end()) {
        fixed += known->second * stride;
      } else {
        const uint32_t bytes = word(&out_, kIMul, {index, constant(stride)});
        sum = sum ? word(&out_, kIAdd, {*sum, bytes}) : bytes;
      }
    }
    const uint32_t known = constant(fixed);
    return sum ? word(&out_, kIAdd, {*sum, known}) : known;
  }

  // Behind an access through `pointer`; nothing where that is no buffer.
  void count(uint32_t pointer, bool writes) {
    const auto typed = result_types_.find(pointer);
    if (typed == result_types_.end() || types_.count(typed->second) == 0) {
      throw std::runtime_error("a pointer of no known type");
    }
    const Instruction& pointer_type = types_.at(typed->second);
    const uint32_t storage = pointer_type.words[2];
    if (storage != kStorageBuffer && storage != kUniform && storage != kPhysicalStorageBuffer) return;
    const uint32_t words = words_of(pointer_type.words[3]);
    uint32_t offset = 0, binding = kThroughAddresses;
    if (storage == kPhysicalStorageBuffer) {
      const uint32_t pair = new_id();
      append(&out_, kBitcast, {pair_, pair, pointer});
      offset = word(&out_, kCompositeExtract, {pair, 0});
    } else {
      const auto chain = chains_.find(pointer);
      if (chain == chains_.end() || bindings_.count(chain->second.words[3]) == 0) {
        throw std::runtime_error("a buffer is not reached through an access chain of its own");
      }
      binding = bindings_.at(chain->second.words[3]);
      offset = offset_of(chain->second);
    }
    append(&out_, kFunctionCall,
           {void_, new_id(), function_, offset, constant(slot_of(binding, writes)), constant(words)});
  }

  bool is_buffer(uint32_t pointer) const {
    const auto typed = result_types_.find(pointer);
    if (typed == result_types_.end() || types_.count(typed->second) == 0) return true;
    const uint32_t storage = types_.at(typed->second).words[2];
    return storage == kStorageBuffer || storage == kUniform || storage == kPhysicalStorageBuffer;
  }

  void write() {
    Words head(code_, code_ + kHeaderWords), functions;
    bool capable = false, decorated = false, in_functions = false, has_extension = false;
    const char name[] = "SPV_KHR_physical_storage_buffer";  // 32 bytes with its end
    static_assert(sizeof name == 32);
    each([&](const Instruction& one) {
      if (one.op == kExtension) has_extension |= std::strcmp(reinterpret_cast<const char*>(one.words + 1), name) == 0;
    });
    each([&](const Instruction& one) {
      if (one.op != kCapability && !capable) {
        capable = true;
        for (const uint32_t capability : {5347u, 61u, 64u}) append(&head, kCapability, {capability});
        if (!has_extension) {
          uint32_t t[8];
          std::memcpy(t, name, sizeof name);
          append(&head, kExtension, {t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7]});
        }
      }
      if (!decorated && one.op >= kTypeVoid && one.op <= kTypeLast) {
        decorated = true;
        head.insert(head.end(), decorations_.begin(), decorations_.end());
      }
      in_functions |= one.op == kFunction;
      if (one.op == kMemoryModel) {
        append(&head, kMemoryModel, {5348, one.words[2]});  // PhysicalStorageBuffer64
        return;
      }
      if (one.op == kEntryPoint) {  // its variables end the instruction
        head.push_back((one.length + 1) << 16 | kEntryPoint);
        head.insert(head.end(), one.words + 1, one.words + one.length);
        head.push_back(lane_);
        return;
      }
      Words& to = in_functions ? out_ : head;
      to.insert(to.end(), one.words, one.words + one.length);
      if (one.op == kLoad) count(one.words[3], false);
      if (one.op == kStore) count(one.words[1], true);
      const bool is_atomic = one.op >= kAtomicFirst && one.op <= kAtomicLast;
      if ((is_atomic && is_buffer(one.words[one.op == 228 ? 1 : 3])) || one.op == kCopyMemory ||
          one.op == kCopyMemorySized) {
        throw std::runtime_error("an atomic or a copy");
      }
    });
    functions = std::move(out_);
    out_ = std::move(head);
    for (const Words* part : {&globals_, &functions, &functions_}) out_.insert(out_.end(), part->begin(), part->end());
    out_[3] = bound_;
  }

  const uint32_t* code_;
  size_t words_;
  uint64_t address_;
  uint32_t subgroup_size_;
  uint32_t bound_;
  std::map<uint32_t, Instruction> types_, chains_;
  std::map<uint32_t, uint32_t> constants_, own_constants_, variables_, bindings_, strides_, result_types_;
  std::map<std::pair<uint32_t, uint32_t>, uint32_t> offsets_;
  std::vector<std::string> binding_names_;
  Words decorations_, globals_, functions_, out_;
  uint32_t void_ = 0, bool_ = 0, uint_ = 0, pair_ = 0, quad_ = 0, function_type_ = 0, lane_ = 0;
  uint32_t block_pointer_ = 0, counters_ = 0, word_pointer_ = 0, address_pair_ = 0, function_ = 0;
};

}  // namespace

CountedKernel count_accesses(const uint32_t* code, size_t words, uint64_t counters_address, uint32_t subgroup_size) {
  try {
    return Counter(code, words, counters_address, subgroup_size).run();
  } catch (const std::exception& why) {
    CountedKernel refused;
    refused.why_not = why.what();
    return refused;
  }
}

}  // namespace moe_bytes
