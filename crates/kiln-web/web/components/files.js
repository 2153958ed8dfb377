// Files that the reader drops on the page or selects: a run (.zip), a model, or text.

/** Names and contents of the files of a drop, folders included. Names have the path inside the dropped folder. */
export async function droppedFiles(transfer) {
  const entries = [...transfer.items].map(item => item.webkitGetAsEntry?.()).filter(Boolean);
  if (entries.length === 0) return readFiles([...transfer.files]);
  const files = [];
  for (const entry of entries) await collect(entry, "", files);
  return Promise.all(files.map(async ({ file, name }) => ({ name, bytes: await file.arrayBuffer() })));
}

/** Names and contents of files of an input element. */
export function readFiles(files) {
  return Promise.all([...files].map(async file => ({ name: file.webkitRelativePath || file.name, bytes: await file.arrayBuffer() })));
}

async function collect(entry, folder, files) {
  if (entry.name.startsWith(".")) return;
  if (entry.isFile) {
    files.push({ name: folder + entry.name, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) });
    return;
  }
  const reader = entry.createReader();
  // A reader gives at most a hundred entries at a time, and none at the end.
  for (;;) {
    const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (part.length === 0) return;
    for (const child of part) await collect(child, `${folder}${entry.name}/`, files);
  }
}

/** Lets the reader save bytes as a file. */
export function saveFile(name, bytes) {
  const address = URL.createObjectURL(new Blob([bytes], { type: "application/zip" }));
  const link = Object.assign(document.createElement("a"), { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}
