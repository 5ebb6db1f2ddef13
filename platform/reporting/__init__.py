"""What an ablation showed, from records alone: sentences, tables, figures, for people and for other programs."""
