package dnsflip

import (
	"slices"

	"github.com/miekg/dns"

	"switchd/zone"
)

// memo are the answers that were packed for a node, for the questions that
// clients really have. It is small and read far more often than written, so
// it is copied to be changed.
type memo []kept

type kept struct {
	question
	answer *packed
}

// size is about what it takes, in bytes.
func (k kept) size() int64 {
	const around = 192 // the entry, and what an answer has around its body
	return around + int64(len(k.answer.body)+2*len(k.answer.pointers))
}

// question is what makes two answers of one node differ.
type question struct {
	qtype   uint16
	below   bool  // asked for a name below the node, which doesn't exist
	signed  bool  // with signatures
	compact bool  // with a denial for who knows CO, RFC 9824 section 5.1
	choice  uint8 // of the node's choices
}

// maxMemo bounds the answers of one node. Twenty types, and some of them
// with signatures or below the node.
const maxMemo = 48

// usual tells whether a type is asked for often enough to keep the answer. A
// client can't fill the memory with others.
func usual(qtype uint16) bool {
	switch qtype {
	case dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS, dns.TypeSVCB, dns.TypeSRV, dns.TypeCNAME, dns.TypeTXT, dns.TypeMX,
		dns.TypeNS, dns.TypeSOA, dns.TypePTR, dns.TypeNAPTR, dns.TypeCAA, dns.TypeDS, dns.TypeDNSKEY, dns.TypeTLSA,
		dns.TypeSSHFP, dns.TypeANY:
		return true
	default:
		return false
	}
}

// recall returns the answer that was kept for a question, nil if there is
// none. The caller looks at its stamp.
func recall(n *zone.Node, q question) *packed {
	m, _ := n.Memo.Load().(*memo)
	if m == nil {
		return nil
	}
	for i := range *m {
		if (*m)[i].question == q {
			return (*m)[i].answer
		}
	}
	return nil
}

// keep keeps an answer, in place of one to the same question, of those that
// don't hold any more, and of the oldest. It returns by how many bytes the node
// then holds more.
func keep(n *zone.Node, q question, p *packed, holds func(*packed) bool) int64 {
	for {
		before := n.Memo.Load()
		next := memo{{q, p}}
		grown := next[0].size()
		if m, ok := before.(*memo); ok {
			for _, k := range *m {
				if len(next) < maxMemo && k.question != q && holds(k.answer) {
					next = append(next, k)
				} else {
					grown -= k.size()
				}
			}
		}
		if n.Memo.CompareAndSwap(before, &next) {
			return grown
		}
	}
}

// prune drops what doesn't hold any more, and returns the size of the others.
func prune(n *zone.Node, holds func(*packed) bool) (size int64) {
	m, _ := n.Memo.Load().(*memo)
	if m == nil {
		return 0
	}
	next := slices.DeleteFunc(slices.Clone(*m), func(k kept) bool { return !holds(k.answer) })
	if len(next) < len(*m) {
		n.Memo.CompareAndSwap(m, &next) // who keeps one just now drops them, too
	}
	for _, k := range next {
		size += k.size()
	}
	return size
}
