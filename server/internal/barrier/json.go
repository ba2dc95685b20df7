package barrier

import (
	"encoding/json"
	"fmt"
)

// PutJSON writes a record of metadata as JSON.
func (tx *Tx) PutJSON(kind Kind, id string, doc any) error {
	text, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	return tx.Put(kind, id, text)
}

// GetJSON reads a record that PutJSON wrote. ErrNotFound if there is none.
func (tx *Tx) GetJSON(kind Kind, id string, doc any) error {
	text, err := tx.Get(kind, id)
	if err != nil {
		return err
	}
	return decode(kind, id, text, doc)
}

// decode keeps encoding/json's error to itself: it may quote what it read.
func decode(kind Kind, id string, text []byte, doc any) error {
	if json.Unmarshal(text, doc) != nil {
		return fmt.Errorf("%s/%s: %w: not the JSON that was expected", kind, id, ErrCorrupt)
	}
	return nil
}
