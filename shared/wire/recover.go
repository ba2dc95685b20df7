package wire

import (
	"crypto/sha256"
	"encoding/binary"
)

// ProofMetadata is the call metadata with the proof of Recover: an ASN.1 ECDSA
// signature over RecoverDigest by the key of the host's last certificate.
const ProofMetadata = "recover-proof-bin"

// RecoverDigest names one recovery on one connection, so that its proof is good
// for no other. exporter is what envelope.Exporter gives for the connection.
func RecoverDigest(exporter, certificate, request []byte) [32]byte {
	h := sha256.New()
	for _, part := range [][]byte{[]byte("strongroom recover v1"), exporter, certificate, request} {
		// Each with its length, so that no two recoveries share an encoding.
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	return [32]byte(h.Sum(nil))
}
