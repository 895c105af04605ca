package pagecache

import "os"

// Writer writes to a file from one place on, and leaves nothing of it in the
// page cache once its Dropper is closed.
type Writer struct {
	file    *os.File
	off     int64
	dropper *Dropper
}

// NewWriter returns a writer to f from off on. It doesn't own the file, nor
// the dropper, which serves any number of writers and has the last word: its
// Close tells whether everything reached the disk.
func NewWriter(f *os.File, off int64, d *Dropper) *Writer {
	return &Writer{file: f, off: off, dropper: d}
}

// Write writes p after what was written before. What it returns as written is
// in the file, also with an error of the dropper.
func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.file.WriteAt(p, w.off)
	dropErr := w.dropper.Add(w.file, w.off, int64(n))
	w.off += int64(n)
	if err == nil {
		err = dropErr
	}
	return n, err
}
