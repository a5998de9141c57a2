// SPDX-License-Identifier: MIT
//
// In:  a GGUF file of bytes as tokens, a prompt, a number of tokens; in the current folder, node-llama-cpp.
// Out: greedy text on stdout, llama.cpp's log on stderr.
// Why: a host whose ggml is another version, loaded privately by a binding. usage: node hosts_node.mjs MODEL PROMPT COUNT
import {createRequire} from "node:module";
import {pathToFileURL} from "node:url";

const here = createRequire(pathToFileURL(process.cwd() + "/"));
const {getLlama, LlamaLogLevel} = await import(pathToFileURL(here.resolve("node-llama-cpp")));
const [file, prompt, count] = process.argv.slice(2);
const llama = await getLlama({
  gpu: false, build: "never", logLevel: LlamaLogLevel.debug,
  logger: (level, text) => process.stderr.write(text + "\n")
});
const model = await llama.loadModel({modelPath: file, gpuLayers: 0});
const context = await model.createContext({contextSize: 512, threads: 2});
const bytes = [];
for await (const token of context.getSequence().evaluate([...Buffer.from(prompt)], {temperature: 0, yieldEogToken: true})) {
  bytes.push(token);
  if (bytes.length >= Number(count)) break;
}
process.stdout.write(Buffer.from(bytes));
await llama.dispose();
