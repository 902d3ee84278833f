import { defineConfig } from "vite";

// `cargo xtask page` empties the folder itself. Relative addresses, so that the page works under any path of any static host; nothing
// inlined, so that the Content-Security-Policy needs no `data:` for scripts or fonts.
export default defineConfig({
  base: "./",
  worker: { format: "es" },
  build: { assetsInlineLimit: 0, target: "es2023", modulePreload: { polyfill: false }, emptyOutDir: false },
});
