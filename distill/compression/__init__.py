"""Making a trained model smaller: pruning (scores, masks, surgery) and int8 quantisation."""
