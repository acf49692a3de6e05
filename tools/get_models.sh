#!/usr/bin/env bash
# Downloads Apple's FastVLM weights and unpacks them under checkpoints/.
#   tools/get_models.sh 0.5b|1.5b|7b [2|3]
# The second argument is the training stage, 3 (the one for use) if absent. An interrupted download
# goes on where it stopped. FASTVLM_MODELS_URL names another place that holds the same files.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
  echo "tools/get_models.sh: $*" >&2
  exit 1
}

[[ $# -ge 1 && $# -le 2 && $1 =~ ^(0\.5b|1\.5b|7b)$ && ${2:-3} =~ ^[23]$ ]] || {
  echo "usage: tools/get_models.sh 0.5b|1.5b|7b [2|3]" >&2
  exit 2
}
name=llava-fastvithd_$1_stage${2:-3}
folder=checkpoints/$name
archive=checkpoints/$name.zip
url=${FASTVLM_MODELS_URL:-https://ml-site.cdn-apple.com/datasets/fastvlm}/$name.zip

cat << 'END'
These weights are Apple's, not this project's, under the Apple Machine Learning Research Model licence
(apple-amlr). In short: they may be used, changed and passed on for scientific research only, not in
commercial products or services; who passes them on must pass the licence on and say what was changed;
Apple's name may not be used to promote anything; there is no warranty. The text that counts:
  https://github.com/apple/ml-fastvlm/blob/main/LICENSE_MODEL
By downloading you accept it; Ctrl-C if you do not.

END

if [[ -f $folder/config.json ]]; then
  echo "$folder is already there."
  exit 0
fi
command -v unzip > /dev/null || fail "unzip is not installed; apt-get install unzip"

# headers: what the server says about the file. download: gets what is missing of it.
if command -v curl > /dev/null; then
  headers() { curl --silent --fail --location --head --connect-timeout 20 "$url"; }
  download() { curl --fail --location --connect-timeout 20 --retry 3 --continue-at - --output "$1" "$url"; }
elif command -v wget > /dev/null; then
  headers() { wget --quiet --server-response --spider --timeout=20 --tries=2 "$url" 2>&1; }
  download() { wget --timeout=20 --tries=3 --continue --output-document="$1" "$url"; }
else
  fail "neither curl nor wget is installed; apt-get install curl"
fi

mkdir -p checkpoints
answer=$(headers) || fail "cannot get $url; is there a network?"
# Of the last answer, after any redirections.
size=$(tr -d '\r' <<< "$answer" | awk 'tolower($1) == "content-length:" {size = $2} END {print size}')
[[ $size =~ ^[1-9][0-9]*$ ]] || fail "$url: the server does not say how long the file is"

# Unpacked it takes about as much again.
free=$(($(df --output=avail --block-size=1 checkpoints | tail -n 1)))
have=$(stat --format=%s "$archive.partial" 2> /dev/null || echo 0)
((free > 2 * size - have)) ||
  fail "$((2 * size / 1000000)) MB are needed on this disk, $((free / 1000000)) MB are free"

if ((have > size)); then rm "$archive.partial"; have=0; fi
if ((have < size)); then
  echo "$name: $((size / 1000000)) MB from $url"
  download "$archive.partial" || fail "the download stopped; run this again to go on with it"
fi
have=$(stat --format=%s "$archive.partial")
((have == size)) || fail "$archive.partial has $have bytes, expected $size; run this again to go on"

echo "Unpacking to $folder"
rm -rf "$folder.partial"
mkdir "$folder.partial"
# The archive's checksums are looked at on the way.
unzip -q "$archive.partial" -d "$folder.partial" || {
  rm -rf "$folder.partial" "$archive.partial"
  fail "the archive is damaged and was removed; run this again"
}
config=$(find "$folder.partial" -name config.json -not -path '*/__MACOSX/*' | head -n 1)
[[ -n $config ]] || fail "$archive.partial: no config.json in it"
mv "$(dirname "$config")" "$folder"
rm -rf "$folder.partial" "$archive.partial"

echo "Done. Now for example:"
echo "  tools/demo.sh"
echo "  build/cpu/bin/fastvlm describe --model-path $folder --image-file FILE"
