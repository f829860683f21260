#!/usr/bin/env bash
# image.sh CACHE NODE: makes CACHE/kernel/.../vmlinuz* and CACHE/image.cpio, the guest without the tests. Packages are
# only downloaded and unpacked below CACHE, by a private apt; nothing is installed, root is not needed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
node=$2
cd "$1"

kernel_suite=trixie-backports # Linux' NVMe target has had reservations since 6.13
user_suite=trixie             # its glibc is newer than the one Node was built for; nvme-cli 2.13
user_packages="busybox-static nvme-cli dmsetup libc6 libgcc-s1 libstdc++6 libnvme1t64 libjson-c5 libssl3t64
  libkeyutils1 zlib1g libzstd1 libdevmapper1.02.1 libselinux1 libpcre2-8-0 libudev1 libcap2"
programs="nvme dmsetup"
modules="drivers/block/brd drivers/md/dm-delay drivers/nvme/target/nvme-loop" # and what they depend on
mirror_default=http://deb.debian.org/debian

setup_apt() { # reads the mirror that this machine's own apt is configured with, but other suites of it
  local mirror
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | awk '/\/debian\/?$/ && !n++')
  mkdir -p apt/lists/partial apt/archives/partial
  : >apt/status
  for suite in "$user_suite" "$kernel_suite"; do echo "deb ${mirror:-$mirror_default} $suite main"; done >apt/sources.list
  cat >apt/conf <<CONF
Dir::State "$PWD/apt";
Dir::State::status "$PWD/apt/status";
Dir::Cache "$PWD/apt";
Dir::Etc::sourcelist "$PWD/apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Architecture "amd64";
APT::Sandbox::User "";
CONF
  export APT_CONFIG=$PWD/apt/conf
}

download() { # leaves the kernel in kernel/ and the programs in user/
  local release
  setup_apt
  apt-get -qq update
  # The cloud flavour: small, and the NVMe and virtio drivers are built in.
  release=$(apt-cache depends "linux-image-cloud-amd64/$kernel_suite" |
    sed -n 's/.*Depends: linux-image-\([0-9].*\)/\1/p')
  [ -n "$release" ] || { echo "no linux-image-cloud-amd64 in $kernel_suite" >&2 && exit 1; }
  rm -rf debs kernel user && mkdir debs
  # shellcheck disable=SC2086
  (cd debs && apt-get -qq download \
    $(apt-cache pkgnames "linux-" | grep -Fx -e "linux-binary-$release" -e "linux-modules-$release" -e "linux-image-$release") \
    $(printf "%s/$user_suite " $user_packages))
  for deb in debs/*.deb; do
    case $deb in debs/linux-*) dpkg-deb -x "$deb" kernel ;; *) dpkg-deb -x "$deb" user ;; esac
  done
  rm -rf debs
}

with_libraries() { # the program and every library the guest's dynamic loader would give it
  local lib=user/usr/lib/x86_64-linux-gnu
  install -D -t image/usr/bin "$1"
  "$lib/ld-linux-x86-64.so.2" --library-path "$PWD/$lib" --list "$1" | grep -o '/[^ ]*/[^ /]*\.so[^ ]*' |
    grep -v '^/lib64' | xargs -r cp -Lnt image/usr/lib/x86_64-linux-gnu
}

add_module() { # decompress it and append it, after what it depends on, to the list init loads
  local file name=${1##*/}
  file=$(find kernel -path "*/$1.ko*" -print -quit)
  [ -n "$file" ] || return 0 # built in
  [ ! -e "image/modules/$name.ko" ] || return 0
  case $file in
    *.xz) xz -dc "$file" ;; *.zst) zstd -qdc "$file" ;; *) cat "$file" ;;
  esac >"image/modules/$name.ko"
  for dep in $(tr '\0' '\n' <"image/modules/$name.ko" | sed -n 's/^depends=//p' | tr ',' ' '); do
    add_module "$dep"
  done
  echo "$name" >>image/modules/order
}

build() { # uncompressed: the emulated CPU would spend longer unpacking than copying
  local lib=image/usr/lib/x86_64-linux-gnu applet busybox=user/usr/bin/busybox
  rm -rf image
  mkdir -p $lib image/usr/bin image/usr/lib64 image/modules image/{dev,proc,sys,tmp,root,job}
  ln -s usr/bin image/bin && ln -s usr/bin image/sbin && ln -s bin image/usr/sbin
  ln -s usr/lib image/lib && ln -s usr/lib64 image/lib64
  cp -L user/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 image/usr/lib64/
  cp $busybox image/usr/bin/
  for applet in $($busybox --list); do ln -s busybox "image/usr/bin/$applet" 2>/dev/null || true; done
  for program in $programs; do with_libraries "user/usr/sbin/$program"; done
  with_libraries "$node"
  [ "$(basename "$node")" = node ] || mv "image/usr/bin/$(basename "$node")" image/usr/bin/node
  for module in $modules; do add_module "$module"; done
  install -m 755 "$here/init.sh" image/init
  install -m 755 "$here/hold-writes.sh" image/usr/bin/hold-writes
  (cd image && find . | ../$busybox cpio -o -H newc -R 0:0) >image.cpio 2>/dev/null
  rm -rf image
}

download
build
