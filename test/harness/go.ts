import { runOk } from './command.ts';

/** Used where no Go is installed. */
const RELEASE = 'v0.0.1-go1.26.8';
const DEADLINE_MS = 900_000;

/** Debian's Go is too old for franz-go. Go's own is in a module, which has no permissions to execute. */
const TOOLCHAIN = `
  if ! command -v go >/dev/null; then
    release=${RELEASE}.linux-$(dpkg --print-architecture)
    toolchain="$PWD/golang.org/toolchain@$release"
    # Two suites may need it at the same moment.
    exec 9>go.lock && flock 9
    if ! [ -d "$toolchain" ]; then
      curl -fsS "https://proxy.golang.org/golang.org/toolchain/@v/$release.zip" -o go.zip
      unzip -qo go.zip && rm go.zip
      chmod -R +x "$toolchain/bin" "$toolchain/pkg/tool"
    fi
    exec 9>&-
    export PATH="$toolchain/bin:$PATH" GOTOOLCHAIN=local
  fi
`;

/** Runs a script of bash in `folder`, where Go is fetched to when there is none. */
export async function runWithGo(folder: string, script: string): Promise<void> {
  await runOk('bash', ['-ec', TOOLCHAIN + script], { cwd: folder, deadlineMs: DEADLINE_MS });
}
