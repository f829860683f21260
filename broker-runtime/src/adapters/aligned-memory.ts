/** What of WebAssembly is needed here; the type library of Node leaves it out. */
interface WebAssemblyMemory {
  readonly Memory: new (size: { readonly initial: number; readonly maximum: number }) => {
    readonly buffer: ArrayBuffer;
  };
}

const WASM_PAGE_BYTES = 64 * 1024;

/**
 * Memory that O_DIRECT accepts: zeros, starting on a page. Buffers of Node start anywhere (1 of 20 tries was
 * aligned), the memory of WebAssembly always on 64 KiB. Each call reserves some GiB of address space, but no
 * memory until it is touched: meant for slabs, not for single groups.
 */
export function allocateAligned(bytes: number): Uint8Array {
  const { WebAssembly } = globalThis as unknown as { readonly WebAssembly: WebAssemblyMemory };
  const pages = Math.ceil(bytes / WASM_PAGE_BYTES);
  return new Uint8Array(new WebAssembly.Memory({ initial: pages, maximum: pages }).buffer, 0, bytes);
}
