"""Host side: dialogue format, tokenizer, readers, token trees and batches."""
