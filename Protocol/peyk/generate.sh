#!/bin/sh
# Writes Protocol/PeykWire/Generated/*.pb.swift from Protocol/peyk/v1/*.proto.
#
# Needs protoc (Debian: protobuf-compiler) and the checkout of swift-protobuf that `swift package resolve` makes.
# The compiler plugin is built once, into a scratch folder of its own.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
scratch=${PEYK_SCRATCH:-"$root/.build"}
checkout="$scratch/checkouts/swift-protobuf"
plugin_scratch="$root/.build-protoc"
[ -d "$checkout" ] || (cd "$root" && swift package --scratch-path "$scratch" resolve)
plugin="$plugin_scratch/debug/protoc-gen-swift"
[ -x "$plugin" ] || (cd "$checkout" && swift build --product protoc-gen-swift --scratch-path "$plugin_scratch")
generated="$root/Protocol/PeykWire/Generated"
mkdir -p "$generated"
rm -f "$generated"/*.pb.swift
cd "$root/Protocol"
protoc --plugin=protoc-gen-swift="$plugin" --proto_path=. \
    --swift_out="$generated" \
    --swift_opt=Visibility=Internal --swift_opt=UseAccessLevelOnImports=true --swift_opt=FileNaming=DropPath \
    peyk/v1/*.proto
